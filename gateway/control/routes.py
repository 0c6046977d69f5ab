"""The admin API, put together: ``/api/v1``."""

from typing import Final
from urllib.parse import unquote_to_bytes

from litestar import Router
from litestar.di import Provide
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.control import auth, tenancy
from gateway.control.aliases.controller import AliasController
from gateway.control.aliases.splits import SplitController
from gateway.control.applications.controller import ApplicationController
from gateway.control.applications.guardrails import GuardrailsController
from gateway.control.applications.routes import RoutesController
from gateway.control.calls.controller import CallController
from gateway.control.credentials.controller import CredentialController
from gateway.control.keys.controller import KeyController
from gateway.control.limits.controller import LimitController
from gateway.control.openapi import SCHEME
from gateway.control.prices.controller import PriceController
from gateway.control.problems import HANDLERS
from gateway.control.prompts.controller import PromptController
from gateway.control.services import ControlServices
from gateway.control.status.controller import StatusController
from gateway.control.targets.controller import TargetController
from gateway.control.versions.controller import VersionController
from gateway.control.workers.controller import WorkerController

PATH: Final = "/api/v1"
CONTROLLERS: Final = (
    ApplicationController,
    GuardrailsController,
    RoutesController,
    CredentialController,
    KeyController,
    LimitController,
    PromptController,
    VersionController,
    AliasController,
    SplitController,
    CallController,
    PriceController,
    TargetController,
    WorkerController,
    StatusController,
)


def control_router(services: ControlServices, admin_token: str) -> Router:
    """The routes of the control plane; all of them ask for ``admin_token``."""
    return Router(
        PATH,
        route_handlers=CONTROLLERS,
        guards=[auth.admin_guard(admin_token)],
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False, use_cache=True),
            "actor": Provide(auth.actor, sync_to_thread=False),
            "tenant": Provide(tenancy.tenant),
            "prompt_slug": Provide(tenancy.prompt_slug, sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
        security=[{SCHEME: []}],
    )


def with_encoded_slashes(app: ASGIApp) -> ASGIApp:
    """``app``, understanding ``/prompts/billing%2Frefund`` too.

    Servers decode a path before routing sees it, and then ``%2F`` is one more separator. The undecoded path still knows;
    an encoded slash becomes ``~``, which no slug contains and which is how :mod:`gateway.control.tenancy` reads a slash.
    """

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") if scope["type"] == "http" else None
        if raw and b"%2" in raw and scope["path"].startswith(PATH):
            scope["path"] = _decode(raw)
        await app(scope, receive, send)

    return front


def _decode(raw: bytes) -> str:
    path = raw.partition(b"?")[0].replace(b"%2F", b"~").replace(b"%2f", b"~")
    return unquote_to_bytes(path).decode("utf-8", "replace")
