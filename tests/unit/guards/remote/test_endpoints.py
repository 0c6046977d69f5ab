"""What names an endpoint that nobody configured is refused when it is written."""

import pytest

from gateway.core.documents import Guardrails, PostValidation, PreValidation, Validator
from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.remote.endpoints import check_endpoints


def named(endpoint: str, kind: str = "http") -> Validator:
    return Validator(kind, options={"endpoint": endpoint})


@pytest.mark.parametrize("kind", ["http", "presidio"])
def test_the_field_is_named(kind: str) -> None:
    mixed = [Validator("regex", options={"pattern": "x"}), named("rules", kind), named("rulez", kind)]
    for rails, place in (
        (Guardrails(pre_validation=PreValidation(validators=mixed)), "pre_validation"),
        (Guardrails(post_validation=PostValidation(enabled=False, validators=mixed)), "post_validation"),
    ):
        with pytest.raises(GatewayError, match="no guard endpoint is called 'rulez'; there are more, rules") as caught:
            check_endpoints(rails, {"rules", "more"})
        assert caught.value.kind is MALFORMED
        assert caught.value.param == f"guardrails.{place}.validators[2].options.endpoint"
        check_endpoints(rails, {"rules", "rulez"})
    with pytest.raises(GatewayError, match="there is none"):
        check_endpoints(rails, ())


def test_an_option_of_that_name_of_another_guard_is_its_own_affair() -> None:
    other = Validator("regex", options={"endpoint": "x"})
    check_endpoints(
        Guardrails(pre_validation=PreValidation(validators=[other, Validator("none", options={"endpoint": "x"})])), ()
    )
