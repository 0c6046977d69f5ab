"""Health, readiness and metrics as routes."""

import pytest
from litestar.testing import create_test_client

from gateway.edge.ops import Readiness, ops_handlers


@pytest.mark.parametrize("serve", [True, False])
def test_the_three_routes(serve: bool) -> None:
    details = Readiness("ready" if serve else "stopping", 7, "process", {"postgres": "ok"}, [])

    async def readiness() -> tuple[bool, Readiness]:
        return serve, details

    with create_test_client(
        ops_handlers(readiness, lambda: (b"text/plain; version=0.0.4; charset=utf-8", b"promptgate_x 1\n"))
    ) as client:
        assert client.get("/healthz").text == "ok"
        ready = client.get("/readyz")
        assert ready.status_code == (200 if serve else 503)
        assert ready.json() == {
            "status": details.status,
            "generation": 7,
            "durability": "process",
            "checks": {"postgres": "ok"},
            "degraded": [],
        }
        metrics = client.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4; charset=utf-8")
        assert metrics.text == "promptgate_x 1\n"
        assert client.post("/healthz").status_code == 405
