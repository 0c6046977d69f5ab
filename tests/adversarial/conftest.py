"""One real program for all tests of hostile requests, with its default limits."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import start_gateway  # noqa: F401 - a fixture
from tests.e2e.wire import Door

GUARDED = {
    "messages": [{"type": "placeholder"}],
    "guardrails": {
        "pre_validation": {"prohibited_terms": ["ignore previous instructions"]},
        "post_validation": {
            "validators": [
                {"type": "terms", "options": {"terms": ["internal use only"]}, "on_fail": "block"},
                {"type": "pii", "options": {"kinds": ["credit_card"]}, "on_fail": "redact"},
            ]
        },
    },
}


@pytest.fixture(scope="module")
def door(start_gateway: Callable[..., Any]) -> Door:  # noqa: F811 - that is how a fixture is asked for
    """A gateway that answers with what it is asked, and a prompt ``guarded``."""
    gateway = start_gateway()
    with gateway.admin(base_url=f"{gateway.url}/api/v1") as api:
        api.post("/prompts", json={"slug": "guarded", "content": GUARDED}).raise_for_status()
        api.post("/prompts/guarded/versions/1/publish", json={"wait": True}).raise_for_status()
    return Door(gateway)
