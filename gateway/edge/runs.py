"""The run endpoints of the admin API's path space: a version executed by an application's key, and a draft tried by an operator.

Both answer in the form of Chat Completions, through the same sentence as any call. A trial is flagged by its door (``test``) and its
alias (``draft``) in the ledger, has a limit of its own, and is neither answered from kept answers nor kept.
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import unquote

import msgspec
from msgspec import Struct, structs

from gateway.core.credentials import SealedCredential
from gateway.core.documents import AnswerCache, Change, KeyDocument, ReleaseDocument, VersionContent, canonical
from gateway.core.errors import CONTRADICTION, MALFORMED, UNAUTHENTICATED, GatewayError
from gateway.core.keys import make
from gateway.core.ports import Workbench
from gateway.core.references import DRAFT, LATEST, Reference, is_slug, parse_reference, parse_version
from gateway.core.requests import Inbound
from gateway.dialects.chat import malformed
from gateway.edge import native, openai
from gateway.edge.problems import refuse
from gateway.pipeline.receive import check
from gateway.pipeline.releases import Releases
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services
from gateway.wire import openai as wire

EXECUTE = "/api/v1/execute/"
TEST = "/api/v1/test-prompt"
TRIALS_PER_MINUTE = 60
"""Of all operators together: trials are made by hand, and must not eat what applications have paid for."""
UNSAVED = "unsaved"
"""What a trial of a content that is stored nowhere is called."""
NOBODY = "00000000-0000-0000-0000-000000000000"
"""The nil UUID: the key of a trial, and the prompt of an unsaved content, in the ledger's columns."""
_KEY = make(bytes)
"""Stands for the operator inside one trial: it opens the trial's own registry of one, and nothing else."""


async def execute(inbound: Inbound, services: Services, reply: Reply, rest: str) -> None:
    """``POST /api/v1/execute/{prompt_id}/{version}``: a chat call whose path names a published version, or ``latest``."""
    try:
        call = native.named(inbound, executed(rest))
    except GatewayError as error:
        await refuse(error, inbound, reply)
        return
    await openai.chat(call, services, reply)


def executed(rest: str) -> Reference:
    """What the path after ``execute/`` names; a slash in the prompt's name may be ``~``, ``%2F`` or a slash. Raises ``malformed``."""
    name, _, version = rest.rpartition("/")
    slug = unquote(name).replace("~", "/")
    if not is_slug(slug):
        raise GatewayError(MALFORMED, f"prompt_id: {slug[:80]!r} is not a prompt name", param="prompt_id")
    return Reference(slug, alias=LATEST) if version == LATEST else parse_version(slug, unquote(version), "version")


class Trial(Struct):
    """What ``POST /api/v1/test-prompt`` reads itself; every other field is of the chat call."""

    application: str | None = None
    """The application to act for, by slug; needless while there is only one."""
    content: VersionContent | None = None
    """The content to try, or"""
    prompt: str | None = None
    """a stored version, published or not (``faq-bot:3``, ``faq-bot@draft``)."""
    model: str = ""
    """The model or route to ask, in the place of the content's own."""


_decode = msgspec.json.Decoder(Trial).decode
_encode = msgspec.json.Encoder().encode


async def test_prompt(inbound: Inbound, services: Services, reply: Reply) -> None:
    """``POST /api/v1/test-prompt``: a content run once, without being saved or published. Opened by the admin token."""
    try:
        bench = _opened(inbound, services)
        check(inbound)
        try:
            trial, fields = _decode(inbound.body), wire.decode_fields(inbound.body)
        except wire.DECODE_ERRORS as error:
            raise malformed(error) from None
        owner = await bench.caller(trial.application)
        document = await _tried(trial, owner, bench)
        for name in Trial.__struct_fields__:
            fields.pop(name, None)
        call = structs.replace(native.named(inbound, Reference(document.slug, alias=DRAFT)), body=_encode(fields))
        call.headers[b"authorization"] = b"Bearer " + _KEY.text.encode()
        releases = Releases(_Only(document, owner), _NOTHING, services.clock, accounts=services.releases.accounts)
    except GatewayError as error:
        await refuse(error, inbound, reply)
        return
    await openai.chat(call, structs.replace(services, releases=releases), reply)


def _opened(inbound: Inbound, services: Services) -> Workbench:
    credential = inbound.headers.get(b"authorization", b"")
    bench = services.workbench
    if bench is None or credential[:7].lower() != b"bearer " or not bench.admits(credential[7:].strip()):
        raise GatewayError(
            UNAUTHENTICATED, "test-prompt asks for 'Authorization: Bearer <admin token>'.", param="authorization"
        )
    return bench


async def _tried(trial: Trial, owner: KeyDocument, bench: Workbench) -> ReleaseDocument:
    if trial.content is not None and trial.prompt is not None:
        raise GatewayError(CONTRADICTION, "content and prompt are both given; give one", param="prompt")
    if trial.prompt is not None:
        document = await bench.version(owner.application, parse_reference(trial.prompt, "prompt"))
    elif trial.content is not None:
        digest = hashlib.sha256(canonical(trial.content)).hexdigest()
        document = ReleaseDocument(owner.application_id, NOBODY, UNSAVED, "", 0, trial.content, digest, 0)
    else:
        raise GatewayError(MALFORMED, "content: give a content, or the prompt of a stored one", param="content")
    content = structs.replace(document.content, cache=AnswerCache(), model=trial.model or document.content.model)
    return structs.replace(document, selector=f"@{DRAFT}", content=content)


class _Only:
    """A ``Catalog`` of one release and one key."""

    def __init__(self, document: ReleaseDocument, owner: KeyDocument) -> None:
        self._document = document
        self._owner = structs.replace(owner, key_id=NOBODY, requests_per_minute=TRIALS_PER_MINUTE, limits=[])

    async def release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        """The one document, by its own name only."""
        document = self._document
        own = (document.application_id, document.slug, document.selector)
        return document if (application_id, reference.slug, reference.selector) == own else None

    async def keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        """The operator's right to call."""
        return {_KEY.digest: self._owner} if _KEY.digest in digests else {}

    async def credentials(self) -> list[SealedCredential]:
        """Nobody asks: the accounts are those of the worker."""
        return []

    async def slug(self, application_id: str, prompt_id: str) -> str | None:
        """None is named by an id."""
        del application_id, prompt_id
        return None

    async def names(self, application_id: str) -> list[str]:
        """None of them can be listed."""
        del application_id
        return []

    async def generation(self) -> int:
        """Nothing moves."""
        return 0

    async def changes(self, after: int) -> list[Change]:
        """Nothing has moved."""
        del after
        return []


class _Nothing:
    """A ``Cache`` that keeps nothing."""

    async def get_release(self, application_id: str, reference: Reference) -> None:
        """A miss."""

    async def put_release(self, document: ReleaseDocument) -> None:
        """Forgotten."""

    async def get_keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        """Misses."""
        del digests
        return {}

    async def put_key(self, digest: str, document: KeyDocument) -> None:
        """Forgotten."""

    async def announce(self, changes: list[Change]) -> None:
        """Nobody listens."""


_NOTHING = _Nothing()
