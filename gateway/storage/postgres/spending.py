"""What the ledger says that calls have used: sums for limits whose counters were lost, and single calls that nobody settled."""

from collections.abc import Sequence

from gateway.core.ids import uuid7_floor
from gateway.core.limits import EACH, LimitRule, Spent
from gateway.core.spending import Charge, Question, Span, Total
from gateway.limits.seeds import MAX_VALUES
from gateway.storage.postgres.pool import Pool, connected
from gateway.storage.postgres.sums import SOURCES
from gateway.storage.postgres.writing import is_id, struct
from gateway.storage.sql.statements import load

QUESTION_S = 10.0
"""The longest that one question may take: sums, or the calls of the last hour or two; some five million rows from memory."""

_SQL = load("spending.sql")
_RULES = load("limits.sql")["rules"]
_SUMMED = load("sums.sql")["summed"]


class PostgresSpending:
    """The :class:`gateway.core.ports.Spending` of Postgres."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def rules(self, application_id: str) -> list[LimitRule]:
        """The limit rules of an application."""
        if not is_id(application_id):
            return []
        async with connected(self._pool) as connection:
            return [struct(row, LimitRule) for row in await connection.fetch(_RULES, application_id)]

    async def totals(self, application_id: str, question: Question, low_ms: int, high_ms: int) -> list[Total]:
        """The answer to a question, for a part of its time."""
        statement, arguments = asked(application_id, question, low_ms, high_ms)
        async with connected(self._pool) as connection:
            return [struct(row, Total) for row in await connection.fetch(statement, *arguments, timeout=QUESTION_S)]

    async def summed(self, since_ms: int, until_ms: int) -> frozenset[Span]:
        """What is summed up, and true."""
        async with connected(self._pool) as connection:
            rows = await connection.fetch(_SUMMED, since_ms, until_ms)
        return frozenset([struct(row, Span) for row in rows])

    async def sums(self, application_id: str, question: Question, spans: Sequence[Span]) -> list[Total]:
        """The answer to a question, from sums."""
        statement, arguments = asked_of_sums(application_id, question, spans)
        async with connected(self._pool) as connection:
            return [struct(row, Total) for row in await connection.fetch(statement, *arguments, timeout=QUESTION_S)]

    async def charges(self, call_ids: Sequence[str]) -> list[Charge]:
        """What calls came to."""
        async with connected(self._pool) as connection:
            rows = await connection.fetch(_SQL["charges"], [call_id for call_id in call_ids if is_id(call_id)])
        return [
            Charge(
                str(row["call_id"]),
                str(row["application_id"]),
                tuple(row["keys"]),
                row["model"],
                row["user"],
                tuple(row["tags"]),
                Spent(row["input_tokens"], row["output_tokens"], row["cost_nano"]),
            )
            for row in rows
        ]


def asked(application_id: str, question: Question, low_ms: int, high_ms: int) -> tuple[str, tuple[object, ...]]:
    """The statement that answers a question, and its arguments."""
    value, source = SOURCES[question.scope]
    ended = question.before_ms if question.by_end else None
    if question.before_ms is not None and not question.by_end:
        high_ms = max(min(high_ms, question.before_ms), low_ms)
    statement = _SQL["totals"].format(value=value, source=source)
    return statement, (
        application_id,
        uuid7_floor(low_ms),
        uuid7_floor(high_ms),
        question.match,
        ended,
        MAX_VALUES,
        list(question.without),
    )


def asked_of_sums(application_id: str, question: Question, spans: Sequence[Span]) -> tuple[str, tuple[object, ...]]:
    """The statement that answers a question from sums, and its arguments."""
    places = (application_id, question.scope, [span.grain for span in spans], [span.start_ms for span in spans])
    if question.scope == "application" or question.match == EACH:
        return _SQL["sums"], (*places, MAX_VALUES)
    return _SQL["sums_of_value"], (*places, question.match)
