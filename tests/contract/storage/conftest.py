"""The shared stores that every twin is held to."""

import pytest


@pytest.fixture(params=["memory", "redis", "cluster"])
def server(request: pytest.FixtureRequest) -> str | None:
    """The URL of an empty Redis or Redis Cluster; None: the twin in memory."""
    return None if request.param == "memory" else request.getfixturevalue(f"clean_{request.param}")
