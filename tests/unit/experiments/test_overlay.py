"""What a variant serves: its version, with what it has of its own on top."""

from gateway.core.documents import Guardrails, MessageTemplate, PreValidation, VariantSpec, VersionContent
from gateway.experiments.overlay import overlay, overrides, served

CONTENT = VersionContent(
    [MessageTemplate("system", "hi")],
    model="gpt-a",
    params={"temperature": 0.1, "top_p": 0.9},
    guardrails=Guardrails(PreValidation(prohibited_terms=["x"])),
)


def test_a_variant_without_its_own_serves_its_version() -> None:
    spec = VariantSpec("a", 7, 5_000)
    assert not overrides(spec)
    assert overlay(CONTENT, spec) == CONTENT


def test_its_own_model_params_and_guardrails_go_on_top() -> None:
    spec = VariantSpec("a", 7, 5_000, model="gpt-b", params={"temperature": 1, "seed": 4}, guardrails=Guardrails())
    assert overrides(spec)
    content = overlay(CONTENT, spec)
    assert content.messages == CONTENT.messages
    assert (content.model, content.guardrails) == ("gpt-b", Guardrails())
    assert content.params == {"temperature": 1, "top_p": 0.9, "seed": 4}
    assert CONTENT.params == {"temperature": 0.1, "top_p": 0.9}, "the version stays as it is"


def test_each_of_them_alone_is_an_override() -> None:
    assert overrides(VariantSpec("a", 7, 1, model=""))
    assert overrides(VariantSpec("a", 7, 1, params={"n": 1}))
    assert overrides(VariantSpec("a", 7, 1, guardrails=Guardrails()))
    assert not overrides(VariantSpec("a", 7, 1, params={}))


def test_what_is_served_names_the_version_it_comes_from() -> None:
    variant = served(VariantSpec("a", 7, 5_000, model="gpt-b"), [(0, 5_000)], CONTENT, "ab" * 32, "1.0.0")
    assert (variant.name, variant.version, variant.weight, variant.semver) == ("a", 7, 5_000, "1.0.0")
    assert (variant.content_hash, variant.buckets, variant.content.model) == ("ab" * 32, [(0, 5_000)], "gpt-b")
