from gateway.core.errors import KINDS, RATE_LIMITED, UPSTREAM_REJECTED, GatewayError


def test_every_kind_is_known_by_its_name() -> None:
    assert len(KINDS) >= 30
    assert all(name == kind.name for name, kind in KINDS.items())


def test_codes_are_unique_among_kinds() -> None:
    codes = [kind.code for kind in KINDS.values()]
    assert len(codes) == len(set(codes))


def test_statuses_fit_their_origin() -> None:
    for kind in KINDS.values():
        if kind.origin == "client":
            assert 400 <= kind.status < 500, kind
        elif kind.origin == "gateway":
            assert kind.status >= 500, kind


def test_an_upstream_that_refuses_our_key_is_not_the_callers_401() -> None:
    assert KINDS["upstream_auth_error"].status == 502


def test_a_rejection_carries_the_providers_status() -> None:
    assert GatewayError(UPSTREAM_REJECTED, "too long", status=422).status == 422
    assert GatewayError(RATE_LIMITED, "slow down").status == 429
