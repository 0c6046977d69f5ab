"""On every route of the admin API that takes an application: what another application has is answered like what never existed."""

import asyncio
import re
import time
from typing import Any

import msgspec
import pytest

from gateway.control.routes import PATH
from gateway.storage.postgres.calls import PostgresCallWriter
from tests.integration.conftest import Control, row, text

SPLIT = {"variants": [{"name": "a", "version": 1, "weight": 5000}, {"name": "b", "version": 2, "weight": 5000}]}
BODIES: dict[tuple[str, str], Any] = {
    ("PUT", "/prompts/{slug}"): {"description": "taken"},
    ("POST", "/prompts/{slug}/versions"): {"content": text("taken")},
    ("PUT", "/prompts/{slug}/aliases/{alias}"): {"version": 2},
    ("PUT", "/prompts/{slug}/aliases/{alias}/split"): SPLIT,
    ("POST", "/prompts/{slug}/aliases/{alias}/promote"): {"variant": "a"},
    ("PUT", "/applications/{application_slug}/keys/{public_id}"): {"name": "taken"},
}
"""What is sent to be valid; elsewhere an empty object will do."""
QUERIES = {"/prompts/{slug}/diff": {"from": "1", "to": "2"}}
BARE = {
    "slug": "nobody-has-this",
    "public_id": "nobodyhasit0",
    "alias": "production",
    "version": "1",
    "name": "nobody-has-this",
}
CREATES = ("PUT", "/applications/{application_slug}/limits/{name}")
"""Makes a thing of one's own where there is none; an empty object is none."""


def owned(control: Control, app: str, slug: str) -> dict[str, str]:
    """An application with a prompt, two versions, a move of its alias, a second key, a route and a call; what they are called."""
    control.ask("POST", "/applications", {"slug": app}, 201)
    control.ask("POST", "/prompts", {"slug": slug, "content": text("one"), "tags": ["mine"]}, 201, application=app)
    control.ask("POST", f"/prompts/{slug}/versions", {"content": text("two")}, 201, application=app)
    for version in (1, 2):
        control.ask("POST", f"/prompts/{slug}/versions/{version}/publish", {}, 200, application=app)
    key = control.ask("POST", f"/applications/{app}/keys", {"name": "second"}, 201)
    rule = {"scope": "application", "metric": "requests", "amount": 5, "window": "day"}
    control.ask("PUT", f"/applications/{app}/limits/{slug}", rule, 200)
    control.ask("PUT", f"/applications/{app}/guardrails", {"pre_validation": {"prohibited_terms": [slug]}}, 200)
    control.ask("POST", "/credentials", {"provider": "openai", "secret": f"sk-{slug}", "application": app, "name": slug}, 201)
    control.ask(
        "PUT", f"/applications/{app}/routes", {"routes": [{"models": [slug], "targets": [{"provider": "openai"}]}]}, 200
    )
    call = row(control.ask("GET", f"/applications/{app}")["id"], slug, "ok")

    async def land() -> None:
        writer = PostgresCallWriter(control.database)
        await writer.prepare(time.time_ns() // 1_000_000)
        await writer.write([call])
        await writer.close()

    asyncio.run(land())
    return {**BARE, "slug": slug, "name": slug, "public_id": key["public_id"], "call_id": call.call_id}


def told(control: Control, app: str, names: dict[str, str]) -> list[Any]:
    """Everything that the owner can see of its things."""
    slug = names["slug"]
    places = (
        f"/prompts/{slug}",
        f"/prompts/{slug}/versions",
        f"/prompts/{slug}/aliases",
        f"/prompts/{slug}/aliases/production/history",
    )
    seen = [control.ask("GET", place, None, 200, application=app) for place in places]
    of_application = [
        control.ask("GET", f"/applications/{app}/{kind}", None, 200) for kind in ("limits", "guardrails", "routes")
    ]
    of_application.append(control.ask("GET", "/credentials", None, 200, application=app))
    return [*seen, *of_application, control.ask("GET", f"/applications/{app}/keys", None, 200, include_revoked=True)]


@pytest.fixture(scope="module")
def operations(control: Control) -> list[tuple[str, str, set[str]]]:
    """Method, path and parameters of every route that takes an application."""
    paths = control.app.openapi_schema.paths
    assert paths is not None
    found = [
        (method.upper(), path.removeprefix(PATH), {parameter.name for parameter in operation.parameters or []})
        for path, item in paths.items()
        for method in ("get", "post", "put", "delete", "patch")
        if (operation := getattr(item, method)) is not None
    ]
    return [(method, path, names) for method, path, names in found if names & {"application", "application_slug"}]


def test_a_neighbours_things_are_as_if_they_never_existed(control: Control, operations: list[tuple[str, str, set[str]]]):
    names = owned(control, "owner", "secret")
    control.ask("POST", "/applications", {"slug": "neighbour"}, 201)
    before = told(control, "owner", names)
    asked = 0
    for method, path, parameters in operations:
        things = set(re.findall(r"\{(\w+)\}", path)) - {"application_slug"}
        if not things:
            continue
        asked += 1
        answers = set()
        for called in (names, BARE):
            place = re.sub(r"\{(\w+)\}", lambda found, by=called: {**by, "application_slug": "neighbour"}[found[1]], path)
            query = QUERIES.get(path, {}) | ({} if "application_slug" in parameters else {"application": "neighbour"})
            body = None if method in {"GET", "DELETE"} else msgspec.json.encode(BODIES.get((method, path), {}))
            answer = control.http.request(method, place, content=body, params=query)
            assert answer.status_code == (400 if (method, path) == CREATES else 404), (method, path, answer.text)
            said = answer.text
            for name in ("slug", "public_id"):
                said = said.replace(called[name], f"<{name}>")
            answers.add(said)
        assert len(answers) == 1, (method, path, answers)
    assert asked >= 18
    assert told(control, "owner", names) == before, "nothing has moved"


def test_lists_hold_the_applications_own(control: Control, operations: list[tuple[str, str, set[str]]]):
    names = owned(control, "lister", "listed-secret")
    control.ask("POST", "/applications", {"slug": "reader"}, 201)
    lists = [
        (path, has) for method, path, has in operations if method == "GET" and "{" not in path.replace("{application_slug}", "")
    ]
    assert {path for path, _ in lists} >= {"/prompts", "/prompts/search", "/calls", "/applications/{application_slug}/keys"}
    for path, has in lists:
        seen = {}
        for app in ("lister", "reader"):
            query = {"q": "secret"} if "q" in has else {"prompt": "listed-secret"} if "prompt" in has else {}
            query |= {"application": app} if "application" in has else {}
            answer = control.http.get(path.replace("{application_slug}", app), params=query)
            assert answer.status_code == 200, (path, answer.text)
            seen[app] = answer.text
        mine = [value for name, value in names.items() if name in {"slug", "public_id", "call_id"} and value in seen["lister"]]
        assert mine or path == "/applications/{application_slug}", path
        assert not [value for value in mine if value in seen["reader"]], path


def test_a_name_is_free_in_every_application(control: Control):
    for app in ("first-home", "second-home"):
        control.ask("POST", "/applications", {"slug": app}, 201)
        made = control.ask("POST", "/prompts", {"slug": "same", "content": text(app)}, 201, application=app)
        assert made["slug"] == "same"
    for app in ("first-home", "second-home"):
        read = control.ask("GET", "/prompts/same/versions/1", None, 200, application=app)
        assert read["content"]["messages"][0]["content"] == app
