"""What a variant serves: a version under the variant's own overrides."""

from msgspec import structs

from gateway.core.documents import Variant, VariantSpec, VersionContent
from gateway.experiments.allocation import Share


def overlay(content: VersionContent, spec: VariantSpec) -> VersionContent:
    """The content that the variant serves: another model, parameters laid over the version's, other guardrails.

    The version's list of what a request may override holds for these values too.
    """
    return structs.replace(
        content,
        model=content.model if spec.model is None else spec.model,
        params=content.params if spec.params is None else {**content.params, **spec.params},
        guardrails=content.guardrails if spec.guardrails is None else spec.guardrails,
    )


def overrides(spec: VariantSpec) -> bool:
    """Whether the variant is more than its version."""
    return spec.model is not None or bool(spec.params) or spec.guardrails is not None


def served(spec: VariantSpec, buckets: Share, content: VersionContent, content_hash: str, semver: str | None) -> Variant:
    """The variant as the data plane holds it."""
    return Variant(spec.name, spec.weight, buckets, spec.version, overlay(content, spec), content_hash, semver)
