"""A pepper is set, changed: which keys go on, and what the operator is told."""

import secrets
from collections.abc import Callable

from gateway.core import keys
from tests.e2e.conftest import GatewayProcess

FIRST, SECOND = "first-pepper-of-this-installation-0", "second-pepper-of-this-installation-"


def restarted(gateway: GatewayProcess, **peppers: str) -> None:
    gateway.stop()
    gateway.settings = {f"PROMPTGATE_SECURITY_{name.upper()}": value for name, value in peppers.items()}
    gateway.start()


def opens(gateway: GatewayProcess, key: str) -> bool:
    with gateway.client() as client:
        answer = client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def new_key(gateway: GatewayProcess) -> dict[str, str]:
    with gateway.admin() as api:
        return api.post("/api/v1/applications/demo/keys", json={}).raise_for_status().json()


def told(gateway: GatewayProcess) -> tuple[bool, str]:
    """What ``promptgate doctor`` shows of keys."""
    with gateway.admin() as api:
        checks = {check["name"]: check for check in api.get("/api/v1/status").raise_for_status().json()["checks"]}
    return checks["keys"]["ok"], checks["keys"]["detail"]


def test_keys_live_through_a_change_of_pepper(start_gateway: Callable[..., GatewayProcess]) -> None:
    gateway = start_gateway(PROMPTGATE_SECURITY_PEPPER=FIRST)
    first, plain = new_key(gateway), new_key(gateway)
    rows = gateway.rows("select digest, pepper from api_keys where public_id = $1", first["public_id"])
    assert rows[0]["digest"].hex() == keys.peppered(FIRST.encode(), first["api_key"])
    assert rows[0]["pepper"] == keys.Peppers(FIRST.encode()).mark
    # A key as it was stored before there was a pepper.
    made_plain = "update api_keys set digest = sha256(convert_to($2, 'UTF8')), pepper = null where public_id = $1"
    gateway.rows(made_plain, plain["public_id"], plain["api_key"])
    assert all(opens(gateway, key["api_key"]) for key in (first, plain))
    assert told(gateway) == (True, "3 live, 1 without a pepper")
    unknown = keys.make(secrets.token_bytes).text
    assert not opens(gateway, unknown)

    restarted(gateway, pepper=SECOND, previous_pepper=FIRST)
    with gateway.admin() as api:
        path = f"/api/v1/applications/demo/keys/{first['public_id']}/rotate"
        second = api.post(path, json={"grace_seconds": 3600}).raise_for_status().json()
    assert all(opens(gateway, key["api_key"]) for key in (plain, first, second))
    assert told(gateway) == (True, "4 live, 1 without a pepper, 2 with the previous pepper")
    assert not opens(gateway, unknown)

    # Once the door is closed, a row that somebody has written opens nothing.
    restarted(gateway, pepper=SECOND, previous_pepper=FIRST, plain_keys="refuse")
    assert [opens(gateway, key["api_key"]) for key in (plain, first, second)] == [False, True, True]
    forged = keys.make(secrets.token_bytes)
    forging = (
        "insert into api_keys (id, application_id, public_id, digest, pepper, created_at)"
        " select gen_random_uuid(), id, $1, $2, $3, now() from applications"
    )
    gateway.rows(forging, forged.public_id, bytes.fromhex(forged.digest), keys.Peppers(SECOND.encode()).mark)
    assert not opens(gateway, forged.text)
    assert told(gateway) == (False, "1 of 5 keys have no pepper, and are refused: they open nothing")
    for secret in (FIRST, SECOND):
        assert secret not in gateway.log
