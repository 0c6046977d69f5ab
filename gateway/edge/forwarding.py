"""The doors whose calls are passed on: a table of paths and methods, and the one function behind them all."""

import re
from collections.abc import Mapping

from gateway.core.errors import GatewayError
from gateway.core.forward import AUDIO, BATCHES, EMBEDDINGS, FILES, IMAGES, MODERATIONS
from gateway.core.requests import Inbound
from gateway.dialects.forwarded import ForwardedSpeech
from gateway.edge.openai import Door, traceable
from gateway.edge.problems import log, refuse
from gateway.pipeline.forward import forward
from gateway.pipeline.forwarding.placing import Errand
from gateway.pipeline.idempotency import HEADER, once
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services

_SPEECH = ForwardedSpeech()
_POST, _GET, _DELETE = b"POST", b"GET", b"DELETE"
_OBJECT = re.compile(r"/(files|batches)/([A-Za-z0-9_-]{1,128})(/content|/cancel)?")
"""The path of one file or batch. The vendor's ids are of these characters; nothing else may become part of a path upstream."""


def passing(errand: Errand) -> Door:
    """The door of one errand: answers one call, whatever happens."""
    keyed = errand.method == b"POST"

    async def once_only(inbound: Inbound, services: Services, reply: Reply) -> GatewayError | None:
        cut = None

        async def work(to: Reply) -> None:
            nonlocal cut
            cut = await forward(inbound, errand, services, to)

        await once(inbound, services, reply, _SPEECH, work, errand.path)
        return cut

    async def door(inbound: Inbound, services: Services, reply: Reply) -> None:
        if inbound.trace is not None:
            reply = traceable(reply, inbound.trace)
        try:
            if keyed and HEADER in inbound.headers:
                cut = await once_only(inbound, services, reply)
            else:
                cut = await forward(inbound, errand, services, reply)
        except GatewayError as error:
            await refuse(error, inbound, reply)
        else:
            if cut is not None:
                # The response is left without its end, which closes the connection: the caller sees that it was cut.
                log(cut, inbound)

    return door


def _post(door: str, path: str) -> Mapping[str, Door]:
    return {"POST": passing(Errand(door, _POST, path))}


embeddings = passing(Errand(EMBEDDINGS, _POST, "/embeddings"))

# Other paths below /images and /audio name things that belong to the account, not to one application (voices, consents): they are
# not passed on, and neither is anything that the vendor adds tomorrow.
_FIXED: dict[str, Mapping[str, Door]] = {
    "/embeddings": {"POST": embeddings},
    "/moderations": _post(MODERATIONS, "/moderations"),
    "/images/generations": _post(IMAGES, "/images/generations"),
    "/images/edits": _post(IMAGES, "/images/edits"),
    "/images/variations": _post(IMAGES, "/images/variations"),
    "/audio/speech": _post(AUDIO, "/audio/speech"),
    "/audio/transcriptions": _post(AUDIO, "/audio/transcriptions"),
    "/audio/translations": _post(AUDIO, "/audio/translations"),
    "/files": {
        "GET": passing(Errand(FILES, _GET, "/files", lists=True)),
        "POST": passing(Errand(FILES, _POST, "/files", makes=True)),
    },
    "/batches": {
        "GET": passing(Errand(BATCHES, _GET, "/batches", lists=True)),
        "POST": passing(Errand(BATCHES, _POST, "/batches", makes=True)),
    },
}


def doors_at(path: str) -> Mapping[str, Door]:
    """The doors at a raw path below ``/v1``, by method; empty if there are none."""
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    match = _OBJECT.fullmatch(path)
    if match is None:
        return {}
    door, object_id, what = match[1], match[2], match[3] or ""
    if door == FILES:
        if what == "/content":
            return {"GET": passing(Errand(FILES, _GET, path, object_id, streams=True))}
        if not what:
            return {
                "GET": passing(Errand(FILES, _GET, path, object_id)),
                "DELETE": passing(Errand(FILES, _DELETE, path, object_id, removes=True)),
            }
    elif what == "/cancel":
        return {"POST": passing(Errand(BATCHES, _POST, path, object_id, makes=True))}
    elif not what:
        return {"GET": passing(Errand(BATCHES, _GET, path, object_id, makes=True))}
    return {}
