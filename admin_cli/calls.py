"""The ledger: ``calls tail``."""

import time
from typing import Any

import click

from admin_cli import screen
from admin_cli.session import Session, verb

_POLL_S = 1.0
"""As often as the ledger's batches land."""
_REMEMBERED = 5_000
"""Call ids kept to tell new rows from seen ones while following; above what a poll can bring."""


@click.group("calls")
def calls() -> None:
    """What was called, by whom, how it ended and what it cost."""


@calls.command("tail")
@click.option("-n", "count", default=20, show_default=True, type=click.IntRange(1, 100), help="How many calls to begin with.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new calls until interrupted.")
@click.option("--prompt", help="Only calls of this prompt.")
@click.option("--outcome", help="Only calls that ended so: ok, blocked, rate_limited, ...")
@click.option("--trace", help="Only calls of this trace: its id, 32 hex digits.")
@verb
def tail(session: Session, count: int, follow: bool, prompt: str | None, outcome: str | None, trace: str | None) -> None:
    """Show the newest calls, oldest first."""

    def newest(limit: int) -> list[dict[str, Any]]:
        page = session.api.get("/calls", prompt=prompt, outcome=outcome, trace_id=trace, limit=limit)
        return list(reversed(page["items"]))

    rows = newest(count)
    session.show(rows, lambda: screen.table(_COLUMNS, map(_cells, rows)))
    seen = dict.fromkeys((row["call_id"], row["attempt"]) for row in rows)
    while follow:
        time.sleep(_POLL_S)
        for row in newest(100):
            key = (row["call_id"], row["attempt"])
            if key not in seen:
                seen[key] = None
                session.show(row, lambda row=row: screen.line("  ".join(str(c) for c in _cells(row) if c is not None)))
        while len(seen) > _REMEMBERED:
            del seen[next(iter(seen))]


_COLUMNS = ("AT", "CALL", "PROMPT", "OUTCOME", "STATUS", "MODEL", "IN", "CACHE", "OUT", "AUDIO", "COST", "LATENCY", "TRACE")


def _pair(read: int | None, written: int | None) -> str | None:
    """Two counts as ``120/40``: read from and written to the provider's cache, or audio in and out; nothing for none."""
    return f"{read or 0}/{written or 0}" if read or written else None


def _sum(*counts: int | None) -> int:
    return sum([count or 0 for count in counts])


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        screen.when(row.get("started_at")),
        row["call_id"],
        row["prompt"] and f"{row['prompt']}:{row['version']}" + (f" ({row['variant']})" if row.get("variant") else ""),
        row["outcome"],
        row["status"],
        row["model"] or row["requested_model"],
        row["input_tokens"],
        _pair(row.get("cached_tokens"), _sum(row.get("cache_write_tokens"), row.get("cache_write_1h_tokens"))),
        row["output_tokens"],
        _pair(row.get("audio_input_tokens"), row.get("audio_output_tokens")),
        screen.money(row["cost_nano"]),
        screen.milliseconds(row["latency_us"]),
        row.get("trace_id"),
    )


COMMANDS = (calls,)
