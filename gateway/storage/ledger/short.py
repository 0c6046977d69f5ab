"""Records in short form: what is still written down when a spool is full, under the policy ``account-only``. Pure.

Kept is what money is counted by: ids, prompt, version and variant, provider and model, tokens, cost, outcome, status, times. Left out
is what only explains or labels a call. A row in short form is known by its empty ``request_id``, which no other row has.
"""

from msgspec.structs import replace

from gateway.core.ledger import Ending, Intent


def short_intent(intent: Intent) -> Intent:
    """Without request id, asked model, user, session, tags and the prompt's hash, which its version tells."""
    prompt = intent.prompt
    return replace(
        intent,
        request_id="",
        requested_model=None,
        user=None,
        session=None,
        tags=(),
        prompt=None if prompt is None else replace(prompt, content_hash=None),
    )


def is_short(intent: Intent) -> bool:
    """Whether an intent is in short form; its ending is to be, too."""
    return not intent.request_id


def short_ending(ending: Ending) -> Ending:
    """Without finish reason, guard, verdicts and the text of the error; its name is the outcome."""
    return replace(ending, finish_reason=None, guard=None, error=None, verdicts=())
