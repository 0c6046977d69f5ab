"""What a ledger in memory says that calls have used: the twin of Postgres."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import structs

from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.ids import uuid7_ms
from gateway.core.ledger import LedgerRow
from gateway.core.limits import EACH, LimitRule, Spent
from gateway.core.spending import Charge, Question, Span, Total
from gateway.limits.seeds import added
from gateway.limits.spans import end_of_span


class MemorySpending:
    """A :class:`gateway.core.ports.Spending` over the rows that ``rows`` gives."""

    def __init__(self, rows: Callable[[], Iterable[LedgerRow]]) -> None:
        self.available = True
        """False: nobody gets an answer."""
        self.questions = 0
        """How often sums were asked for."""
        self.limits: dict[str, list[LimitRule]] = {}
        """By application."""
        self.keys: dict[str, tuple[str, ...]] = {}
        """Public ids by key id, after those of the keys that it took the place of."""
        self.spans: set[Span] = set()
        """What is said to be summed up."""
        self.spans_asked = 0
        """How many of them were asked for."""
        self._rows = rows

    async def rules(self, application_id: str) -> list[LimitRule]:
        """The limit rules of an application."""
        self._ask()
        return self.limits.get(application_id, [])

    async def totals(self, application_id: str, question: Question, low_ms: int, high_ms: int) -> list[Total]:
        """The answer to a question, for a part of its time."""
        self._ask()
        self.questions += 1
        return self._totals(application_id, question, low_ms, high_ms)

    async def summed(self, since_ms: int, until_ms: int) -> frozenset[Span]:
        """What is summed up, and true."""
        self._ask()
        return frozenset(span for span in self.spans if since_ms <= span.start_ms < until_ms)

    async def sums(self, application_id: str, question: Question, spans: Sequence[Span]) -> list[Total]:
        """The answer to a question, from sums."""
        self._ask()
        self.spans_asked += len(spans)
        whole = structs.replace(question, before_ms=None)
        return added([self._totals(application_id, whole, span.start_ms, end_of_span(span)) for span in spans])

    async def charges(self, call_ids: Sequence[str]) -> list[Charge]:
        """What calls came to."""
        self._ask()
        calls: dict[str, list[LedgerRow]] = {}
        for row in self._rows():
            if row.call_id in call_ids and row.application_id is not None:
                calls.setdefault(row.call_id, []).append(row)
        return [self._charge(rows) for rows in calls.values()]

    def _totals(self, application_id: str, question: Question, low_ms: int, high_ms: int) -> list[Total]:
        before = question.before_ms
        found: list[Total] = []
        for row in self._rows():
            started = uuid7_ms(row.call_id)
            if row.application_id != application_id or not low_ms <= started < high_ms or row.call_id in question.without:
                continue
            if before is not None and (started + row.latency_us // 1000 if question.by_end else started) >= before:
                continue
            counts = row.attempt == 1 or (row.attempt == 0 and row.shadowed is not None)
            found += [
                Total(value, int(counts), row.input_tokens or 0, row.output_tokens or 0, row.cost_nano or 0)
                for value in self._values(question, row)
                if value is not None and question.match in {EACH, value}
            ]
        return sorted(added([found]), key=lambda total: (-total.requests, total.value))

    def _charge(self, rows: list[LedgerRow]) -> Charge:
        row = rows[0]
        spent = Spent(
            sum(row.input_tokens or 0 for row in rows),
            sum(row.output_tokens or 0 for row in rows),
            sum(row.cost_nano or 0 for row in rows),
        )
        model = row.route or row.requested_model
        return Charge(row.call_id, row.application_id or "", self._key(row), model, row.user, row.tags, spent)

    def _values(self, question: Question, row: LedgerRow) -> Iterable[str | None]:
        scope = question.scope
        if scope == "application":
            return ("",)
        if scope == "key":
            return self._key(row)
        if scope == "tag":
            return dict.fromkeys(row.tags)
        return (row.user,) if scope == "user" else (row.route or row.requested_model,)

    def _key(self, row: LedgerRow) -> tuple[str, ...]:
        return self.keys.get(row.key_id or "", ())

    def _ask(self) -> None:
        if not self.available:
            raise GatewayError(STORE_UNAVAILABLE, "the registry cannot be reached")
