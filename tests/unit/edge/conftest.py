"""The pipeline from memory twins, as the pipeline's own tests use it."""

from tests.unit.pipeline.conftest import say, world

__all__ = ["say", "world"]
