"""Who may enter the control plane: the bearer of the admin token. And who they say they are, for history and audit."""

import hmac
import re
from collections.abc import Callable
from typing import Annotated, Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter

from gateway.core.errors import MALFORMED, UNAUTHENTICATED, GatewayError

AdminGuard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]

_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
"""User names and e-mail addresses."""


def admin_guard(token: str) -> AdminGuard:
    """A guard that lets in requests with ``Authorization: Bearer <token>``. An empty token lets in nobody."""
    expected = token.encode()

    def check(connection: ASGIConnection[Any, Any, Any, Any], __: BaseRouteHandler) -> None:
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("latin-1"), expected)
        if scheme.lower() != "bearer" or not expected or not same:
            raise GatewayError(
                UNAUTHENTICATED, "The admin API asks for 'Authorization: Bearer <admin token>'.", param="authorization"
            )

    return check


def actor(
    x_actor: Annotated[str | None, HeaderParameter(name="x-actor", description="Who is acting, for history and audit.")] = None,
) -> str:
    """``admin``, with the name that the bearer of the token claims: it is shared, so the name is a remark and not a proof."""
    if x_actor is None:
        return "admin"
    if _ACTOR.fullmatch(x_actor) is None:
        raise GatewayError(MALFORMED, "x-actor: expected a user name or an e-mail address", param="x-actor")
    return f"admin:{x_actor}"
