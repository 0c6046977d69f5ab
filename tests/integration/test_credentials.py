"""Keys of provider accounts and routes of applications: from the admin API to the documents of API keys, on a real Postgres."""

from typing import Any

import pytest

from gateway.core.credentials import INSTALLATION
from tests.integration.conftest import Control
from tests.integration.installed import VAULT
from tests.integration.test_application_guardrails import known

SECRET = "sk-canary-0123456789"


def test_they_are_kept_shown_replaced_and_deleted(control: Control, app: str):
    key = control.ask("POST", f"/applications/{app}/keys", {}, 201)["api_key"]
    control.workers.announced.clear()
    made = control.ask("POST", "/credentials", {"provider": "openai", "secret": SECRET, "application": app}, 201)
    assert (made["provider"], made["application"], made["name"], made["last4"]) == ("openai", app, "default", "6789")
    assert made["opens"]
    assert SECRET not in repr(made)
    assert {change.kind for change in control.workers.announced} == {"application", "key"}
    document = known(control, key)
    assert document is not None
    (sealed,) = document.credentials
    assert sealed.owner == document.application_id
    assert VAULT.open(sealed) == SECRET

    second = control.ask(
        "POST", "/credentials", {"provider": "openai", "secret": "short", "application": app, "name": "b"}, 201
    )
    assert second["last4"] == "", "four of five characters would be most of it"
    replaced = control.ask("PUT", f"/credentials/{made['id']}", {"secret": f"{SECRET}-new"}, 200)
    assert (replaced["id"], replaced["last4"]) == (made["id"], "-new")
    document = known(control, key)
    assert document is not None
    assert [VAULT.open(each) for each in document.credentials] == [f"{SECRET}-new", "short"]
    assert [each["id"] for each in control.ask("GET", "/credentials", application=app)["items"]] == [made["id"], second["id"]]
    for each in (made, second):
        control.ask("DELETE", f"/credentials/{each['id']}", None, 200)
    document = known(control, key)
    assert document is not None
    assert document.credentials == []
    assert control.ask("GET", "/credentials", application=app)["items"] == []


def test_those_of_the_installation_are_announced_by_themselves(control: Control, app: str):
    control.workers.announced.clear()
    made = control.ask("POST", "/credentials", {"provider": "openai", "secret": SECRET, "name": app}, 201)
    assert [(change.kind, change.application_id) for change in control.workers.announced] == [("application", INSTALLATION)]
    assert control.ask("GET", "/credentials", application=app)["items"] == []
    assert made["id"] in [each["id"] for each in control.ask("GET", "/credentials")["items"]]
    again = control.refused("POST", "/credentials", {"provider": "openai", "secret": SECRET, "name": app})
    assert again[:3] == (409, "conflict", "name")
    control.ask("DELETE", f"/credentials/{made['id']}", None, 200)


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        ({"provider": "opnai", "secret": SECRET}, 400, "provider", "none of providers.toml's: openai"),
        ({"provider": "echo", "secret": SECRET}, 400, "provider", "none of providers.toml's: openai"),
        ({"provider": "openai", "secret": f"{SECRET} blank"}, 400, "secret", ""),
        ({"provider": "openai", "secret": ""}, 400, "secret", ""),
        ({"provider": "openai", "secret": SECRET * 300}, 400, "secret", ""),
        ({"provider": "openai", "secret": SECRET, "name": "Not A Name"}, 400, "name", ""),
        ({"provider": "openai", "secret": SECRET, "application": "nobody"}, 404, "application", "nobody"),
        ({"provider": "openai"}, 400, "secret", ""),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name_and_not_repeated(
    control: Control, body: dict[str, Any], status: int, param: str, words: str
):
    got = control.refused("POST", "/credentials", body)
    assert (got[0], got[2]) == (status, param)
    assert words in got[3]
    assert SECRET not in got[3]


def test_what_is_not_there_is_a_404(control: Control):
    for name in ("nothing", "0190a0a0-0000-7000-8000-000000000000"):
        assert control.refused("PUT", f"/credentials/{name}", {"secret": SECRET})[:3] == (404, "not_found", "id")
        assert control.ask("DELETE", f"/credentials/{name}", None, 404)["error"]["param"] == "id"


ROUTES = [
    {"models": ["fast", "gpt-*"], "targets": [{"provider": "openai", "model": "gpt-4o-mini", "weight": 3}], "tags": ["x"]}
]


def test_routes_are_written_read_propagated_and_taken_away(control: Control, app: str):
    path = f"/applications/{app}/routes"
    key = control.ask("POST", f"/applications/{app}/keys", {}, 201)["api_key"]
    assert control.ask("GET", path) == {"routes": []}
    assert control.ask("POST", f"{path}/check", {"routes": ROUTES}, 200) == {"routes": ROUTES}
    assert control.ask("GET", path) == {"routes": []}
    control.workers.announced.clear()
    assert control.ask("PUT", path, {"routes": ROUTES}, 200) == {"routes": ROUTES}
    assert {change.kind for change in control.workers.announced} == {"application", "key"}
    document = known(control, key)
    assert document is not None
    assert document.routes == ROUTES
    control.workers.announced.clear()
    control.ask("PUT", path, {"routes": ROUTES}, 200)
    assert control.workers.announced == [], "nothing moved"
    assert control.ask("DELETE", path, None, 200) == {"routes": []}
    document = known(control, key)
    assert document is not None
    assert document.routes is None


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ([*ROUTES, {"models": ["m"], "targets": [{"provider": "opnai"}]}], "[[routes]] number 2: provider 'opnai' is unknown; did you mean openai?"),
        ([{"models": ["m"], "targets": []}], "[[routes]] number 1: give at least one of models and one of targets"),
        ([{"models": ["m"], "targets": [{"provider": "openai", "wieght": 1}]}], "key 'wieght' is unknown; did you mean weight?"),
        ([{"models": "m", "targets": [{"provider": "openai"}]}], "[[routes]] number 1 models: got a value of type str, expected a list"),
        ([{"models": ["m"]}], "[[routes]] number 1: targets: got nothing"),
        ([{"models": [""], "targets": [{"provider": "openai"}]}], "models has an empty entry"),
        ([{"models": ["m" * 201], "targets": [{"provider": "openai"}]}], "at most 200 characters"),
        ([{"models": ["m\n"], "targets": [{"provider": "openai"}]}], "all of them printable"),
        ([{"models": ["m"] * 101, "targets": [{"provider": "openai"}]}], "at most 100 models"),
    ],
)  # fmt: skip
def test_routes_that_do_not_fit_are_refused_with_their_place(control: Control, app: str, routes: Any, words: str):
    for method, path in (("PUT", f"/applications/{app}/routes"), ("POST", f"/applications/{app}/routes/check")):
        status, _, param, message = control.refused(method, path, {"routes": routes})
        assert (status, param) == (400, "routes")
        assert words in message
    assert control.ask("GET", f"/applications/{app}/routes") == {"routes": []}


def test_more_routes_than_there_may_be_are_refused(control: Control, app: str):
    assert control.refused("PUT", f"/applications/{app}/routes", {"routes": ROUTES * 101})[0] == 400


def test_targets_are_listed_with_the_routes_that_lead_to_them(control: Control, app: str):
    everybody = control.ask("GET", "/targets")["items"]
    assert [(t["provider"], t["model"], t["routes"]) for t in everybody] == [("openai", None, ["*"])]
    control.ask("PUT", f"/applications/{app}/routes", {"routes": ROUTES}, 200)
    first, *rest = control.ask("GET", "/targets", application=app)["items"]
    assert (first["provider"], first["model"], first["routes"]) == ("openai", "gpt-4o-mini", ["fast", "gpt-*"])
    assert first["here"] == {
        "breaker": "closed",
        "in_flight": 0,
        "limit": None,
        "first_byte_ms": None,
        "first_byte_p95_ms": None,
    }
    assert first["keys"] == {"total": 1, "alive": 1, "refused": 0, "limited": 0, "stored": False}
    assert first["fleet"] is None
    assert [(t["provider"], t["model"]) for t in rest] == [("openai", None)]
    assert control.ask("GET", "/targets", None, 404, application="nobody")["error"]["param"] == "application"
