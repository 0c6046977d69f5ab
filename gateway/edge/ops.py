"""Health, readiness and metrics, for load balancers and Prometheus."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct


class Readiness(Struct, frozen=True):
    """``/readyz``: whether to send traffic here, and what is degraded while it goes on serving."""

    status: str
    """``ready``, ``degraded`` (serving without something), ``not_ready`` or ``stopping``."""
    generation: int
    """Of the registry, as applied by the worker that answered."""
    durability: str
    """What a ledger row survives."""
    checks: dict[str, str]
    """Per dependency: ``ok`` or what is wrong."""
    degraded: list[str]
    """Names of the degraded modes in force."""


def ops_handlers(
    readiness: Callable[[], Awaitable[tuple[bool, Readiness]]], exposition: Callable[[], tuple[bytes, bytes]]
) -> list[HTTPRouteHandler]:
    """The three routes. ``readiness`` tells (serve?, details); ``exposition`` gives (content type, body)."""

    @get("/healthz", media_type=MediaType.TEXT, summary="The process answers", tags=["operations"], sync_to_thread=False)
    def healthz() -> str:
        return "ok"

    @get("/readyz", summary="Whether to send traffic here", tags=["operations"])
    async def readyz() -> Response[Readiness]:
        serve, details = await readiness()
        return Response(details, status_code=200 if serve else 503)

    @get("/metrics", summary="Prometheus metrics of all workers", tags=["operations"], sync_to_thread=False)
    def metrics() -> Response[Any]:
        content_type, body = exposition()
        return Response(body, headers={"content-type": content_type.decode()})

    return [healthz, readyz, metrics]
