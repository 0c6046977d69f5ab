"""The way back to the caller, which stays the same whatever course a call takes (:mod:`gateway.pipeline.course`)."""

from msgspec import Struct

from gateway.core.dialect import Dialect
from gateway.core.journal import Journal
from gateway.pipeline.permits import Permit
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services


class Delivery(Struct, frozen=True):
    """What an answer is delivered with, once its call is admitted."""

    permit: Permit
    """It writes the rate limit headers, and bounds the answer where the limits do."""
    dialect: Dialect
    """The caller's."""
    journal: Journal
    """Recorded before the last byte goes out."""
    reply: Reply
    services: Services
