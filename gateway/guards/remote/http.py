"""``http``: a service of one's own judges, and may rewrite what goes to the model, or say which places of it are to be masked."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.guards.remote.asking import MAX_KINDS, NOTHING_FOUND, UNNAMED, AnswerError, HttpQuestion, Matter, Opinion, label
from gateway.guards.remote.spans import Place, checked
from gateway.guards.rules import Remote


class HttpOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a validator of type ``http`` may be told."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=64)]
    """The name of an endpoint of the configuration: a prompt cannot name an address."""
    may_rewrite: bool = False
    """Whether it may answer with other texts. Going in, it is then asked before the provider is, and not beside it."""


class _Sent(Struct):
    stage: str
    texts: tuple[str, ...]
    roles: tuple[str, ...]
    application: str
    prompt: str
    request_id: str


class _Said(Struct):
    action: Literal["allow", "block", "rewrite", "mask"]
    what: str | list[str] = ""
    texts: list[str] | None = None
    spans: list[Place] | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Said).decode


class HttpGuard(Remote, frozen=True):
    """The question to such a service, and what its answer means."""

    options: HttpOptions

    @property
    def rewrites(self) -> bool:
        """Whether its answer may hold other texts."""
        return self.options.may_rewrite

    @property
    def places(self) -> bool:
        """It can say where."""
        return True

    def question(self, matter: Matter) -> HttpQuestion:
        """All texts, in one signed POST."""
        body = _encode(_Sent(matter.stage, matter.texts, matter.roles, matter.application, matter.prompt, matter.request_id))
        return HttpQuestion(self.options.endpoint, "", body, signed=True)

    def read(self, body: bytes, matter: Matter) -> Opinion:
        """``{"action": "allow" | "block" | "rewrite" | "mask", "what": ..., "texts": [...], "spans": [...]}``."""
        try:
            said = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise AnswerError("its answer is not {action, what, texts, spans}") from None
        if said.action == "allow":
            return NOTHING_FOUND
        if said.action == "mask":
            if said.spans is None:
                raise AnswerError("it masks, and does not say what")
            spans = checked(said.spans, matter.texts)
            return Opinion(tuple([span.what for span in spans]), spans=spans)
        names = [said.what] if isinstance(said.what, str) else said.what
        found = tuple([label(name) for name in names[:MAX_KINDS]]) or (UNNAMED,)
        if said.action == "block":
            return Opinion(found)
        if not self.rewrites:
            raise AnswerError("it rewrites, and may_rewrite is not set")
        if said.texts is None or len(said.texts) != len(matter.texts):
            raise AnswerError("it rewrites, and does not give as many texts as it was given")
        return Opinion(found, tuple(said.texts))
