"""Carrying a guard's question to whoever it asks: an endpoint of the configuration, or a model behind our own routes.

Models are asked with a row of their own in the ledger (door ``guard``), paid by the same application under the same request id. Such a
call goes through ``call`` or the forwarding verbs alone, which know no guards: what a guard asks is itself not judged.
"""

import secrets

import msgspec
from msgspec import Raw, Struct

from gateway.core.errors import NOT_CONFIGURED, UPSTREAM_ERROR, UPSTREAM_INVALID, UPSTREAM_UNAVAILABLE, GatewayError
from gateway.core.forward import EMBEDDINGS, MODERATIONS
from gateway.core.ids import RANDOM_BITS, uuid7
from gateway.core.journal import Journal
from gateway.core.requests import Caller, ChatRequest, Inbound
from gateway.core.trace import SPAN_BITS
from gateway.core.upstream import CHAT, HttpRequest
from gateway.dialects.forwarded import read_forwarded
from gateway.guards.remote.asking import ChatQuestion, EmbeddingQuestion, HttpQuestion, ModerationQuestion, Vectors
from gateway.guards.remote.signing import HEADER, signature
from gateway.pipeline.call import call
from gateway.pipeline.forwarding.asking import Asking, ask, forwarder_of, relaying
from gateway.pipeline.forwarding.placing import Errand, account_plan, place
from gateway.pipeline.record import record
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.respond import count_usage
from gateway.pipeline.route import table_of
from gateway.pipeline.services import Services
from gateway.routing.table import Plan
from gateway.wire.objects import usage_of
from gateway.wire.openai import DECODE_ERRORS

DOOR = "guard"
"""How the ledger and the metrics call the calls that guards make."""
MAX_OPINION_BYTES = 1 << 20
"""Of a service's answer: rewritten texts of a long conversation are some hundred kilobytes."""
_JSON = ((b"content-type", b"application/json"), (b"accept", b"application/json"))


class _Vector(Struct):
    embedding: list[float]
    index: int = 0


class _Vectors(Struct):
    data: list[_Vector]


_decode_vectors = msgspec.json.Decoder(_Vectors).decode
_encode = msgspec.json.Encoder().encode


class Carrier(Struct, frozen=True):
    """Whose call it is about, and what questions may touch."""

    inbound: Inbound
    caller: Caller
    services: Services

    async def http(self, question: HttpQuestion, seconds: float) -> bytes:
        """The body of a service's 200. Redirects are failures: an answer cannot send us elsewhere. Raises ``GatewayError``."""
        services, endpoint = self.services, self.services.endpoints.get(question.endpoint)
        if endpoint is None:
            raise GatewayError(NOT_CONFIGURED, f"no guard endpoint is called {question.endpoint!r}")
        began = services.clock()
        if not endpoint.breaker.allows(began):
            raise GatewayError(
                UPSTREAM_UNAVAILABLE, f"the guard endpoint {question.endpoint!r} is failing, and not asked for now"
            )
        headers = _JSON
        if question.signed and endpoint.secret:
            now = self.inbound.started_ms // 1000 + int(began - self.inbound.started)
            headers = (*headers, (HEADER, signature(endpoint.secret, now, question.body)))
        try:
            request = HttpRequest(question.path, headers, question.body)
            if self.inbound.trace is not None:
                request = self.inbound.trace.asked(request)
            exchange = await endpoint.transport.send(endpoint.target, request, began + seconds)
            try:
                if exchange.status != 200:
                    raise GatewayError(UPSTREAM_ERROR, f"the guard endpoint {question.endpoint!r} answered {exchange.status}")
                body = await exchange.read(MAX_OPINION_BYTES)
            finally:
                exchange.close()
        except GatewayError:
            endpoint.breaker.failed(services.clock())
            raise
        except BaseException:
            # Cancelled: by its own time limit, which is the endpoint's doing, or with the call, which is not.
            late = services.clock() >= began + seconds
            endpoint.breaker.failed(services.clock()) if late else endpoint.breaker.abandoned()
            raise
        endpoint.breaker.succeeded(services.clock())
        return body

    async def chat(self, question: ChatQuestion, seconds: float) -> bytes:
        """The text that the model wrote. Raises ``GatewayError``."""
        request = _plain(question.model)
        journal = self._journal(b"", seconds, request)
        services = self.services
        recipe = Recipe(None, question.model, {name: Raw(value) for name, value in question.fields.items()})
        journal.input_chars = sum([len(message.text) for message in question.conversation])
        answer = None
        try:
            plan = table_of(self.caller, services).plan(question.model)
            answer = await call(plan, request, recipe, question.conversation, CHAT, journal, services)
            event = answer.whole()
            if journal.usage is None:
                await count_usage(answer.texts, question.conversation, journal, services)
            return "".join([text for choice, text in event.texts if choice == 0]).strip().encode()
        except GatewayError as error:
            _failed(journal, error)
            raise
        except BaseException:
            _cancelled(journal)
            raise
        finally:
            if answer is not None:
                answer.close()
            record(journal, services)

    async def moderation(self, question: ModerationQuestion, seconds: float) -> bytes:
        """The body of the provider's answer. Raises ``GatewayError``."""
        errand = Errand(MODERATIONS, b"POST", "/moderations")
        plan = account_plan(MODERATIONS, question.provider, question.model, self.caller, self.services)
        return await self._forwarded(errand, question.body, seconds, plan)

    async def vectors(self, question: EmbeddingQuestion, seconds: float) -> tuple[Vectors, Vectors]:
        """Of the texts, and of the examples, which are asked for once. Raises ``GatewayError``."""
        name = (question.model, question.examples)
        examples = self.services.examples.get(name)
        if examples is None:
            examples = await self._embedded(*name, seconds)
            self.services.examples.put(name, examples)
        return await self._embedded(question.model, question.texts, seconds), examples

    async def _embedded(self, model: str, texts: tuple[str, ...], seconds: float) -> Vectors:
        body = _encode({"model": model, "input": texts})
        answer = await self._forwarded(Errand(EMBEDDINGS, b"POST", "/embeddings"), body, seconds, None)
        try:
            vectors = sorted(_decode_vectors(answer).data, key=_index)
        except DECODE_ERRORS as error:
            raise GatewayError(UPSTREAM_INVALID, "the embeddings cannot be read", cause=repr(error)) from None
        if [vector.index for vector in vectors] != list(range(len(texts))):
            raise GatewayError(UPSTREAM_INVALID, "there are not as many embeddings as texts")
        return [vector.embedding for vector in vectors]

    async def _forwarded(self, errand: Errand, body: bytes, seconds: float, plan: Plan | None) -> bytes:
        journal = self._journal(body, seconds, None)
        services = self.services
        answered = None
        try:
            read = read_forwarded(journal.inbound)
            journal.request, journal.input_chars = read.request, len(body)
            asking = Asking(errand, read, journal.inbound, journal, services)
            plan = plan or await place(errand, self.caller, read, journal, services)
            answered = await ask(asking, plan, relaying(asking))
            answer = answered.body
            if answer is None:
                raise GatewayError(UPSTREAM_INVALID, f"{answered.target.provider} answered with something else than JSON")
            forwarder = forwarder_of(services.providers[answered.target.provider])
            journal.usage = usage_of(answer, draws=False)
            journal.usage_source = None if journal.usage is None else "upstream" if forwarder.counts else "estimated"
        except GatewayError as error:
            _failed(journal, error)
            raise
        except BaseException:
            _cancelled(journal)
            raise
        else:
            return answer
        finally:
            if answered is not None:
                answered.close()
            record(journal, services)

    def _journal(self, body: bytes, seconds: float, request: ChatRequest | None) -> Journal:
        """Of a call of its own within this one: another id, the same request id, and less time."""
        now, about = self.services.clock(), self.inbound
        started_ms = about.started_ms + int((now - about.started) * 1000)
        inbound = Inbound(
            door=DOOR,
            headers={},
            body=body,
            call_id=uuid7(started_ms, secrets.randbits(RANDOM_BITS)),
            request_id=about.request_id,
            started_ms=started_ms,
            started=now,
            deadline=min(now + seconds, about.deadline),
            trace=about.trace and about.trace.within(secrets.randbits(SPAN_BITS)),
        )
        return Journal(inbound, self.caller, request)


def _plain(model: str) -> ChatRequest:
    return ChatRequest(
        model=model,
        reference=None,
        variables={},
        messages=(),
        stream=False,
        include_usage=False,
        choices=1,
        unit=None,
        user=None,
        session=None,
        tags=(),
        fields={},
    )


def _index(vector: _Vector) -> int:
    return vector.index


def _failed(journal: Journal, error: GatewayError) -> None:
    journal.outcome, journal.error, journal.status = error.kind.name, error.detail, error.status


def _cancelled(journal: Journal) -> None:
    """Its time was up, or the call that it was about has ended."""
    journal.outcome, journal.error, journal.status = "deadline", "the guard's question was given up", 499
