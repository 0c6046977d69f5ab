"""Validators -> rules, with errors that name the field at fault as its author wrote it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway.core.documents import PostValidation, PreValidation, Validator
from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import Direction, GuardType, make
from gateway.guards.detector import Counting, Detector, Joint
from gateway.guards.patterns import MAX_LONGEST
from gateway.guards.rules import BLOCKING, REWRITING, Remote, RemoteRule, Rule

MAX_NAME = 80
"""Characters: names stand in headers and are labels of metrics."""


class Ruled(Struct):
    """What the validators of one section come to, in the order in which they are asked: cheap ones first."""

    text: list[Rule]
    """Judge texts; of an answer, as it comes."""
    whole: list[Rule]
    """Judge an answer's text when it is complete. Going in everything is complete, so all is in ``text``."""
    tools: list[Rule]
    remote: list[RemoteRule]


def rules_of(section: PreValidation | PostValidation, param: str, catalogue: Mapping[str, GuardType]) -> Ruled:
    """Compile the validators of a section. Raises ``malformed``."""
    direction: Direction = "in" if isinstance(section, PreValidation) else "out"
    made: list[tuple[int, Validator, Detector | Remote, str]] = []
    for i, validator in enumerate(section.validators):
        here = f"{param}.validators[{i}]"
        entry = _entry(validator, direction, here, catalogue)
        judge = make(entry, _options(validator, entry, section.threshold), here)
        _check(validator, judge, direction, here)
        made.append((entry.rank, validator, judge, here))
    if isinstance(section, PostValidation) and section.format_schema is not None:
        here = f"{param}.format_schema"
        validator = Validator("json", options={"schema": section.format_schema})
        entry = _entry(validator, direction, here, catalogue)
        made.append((entry.rank, validator, make(entry, validator.options, here), here))
    made.sort(key=lambda one: one[0])
    ruled = Ruled([], [], [], [])
    for _, validator, judge, _ in made:
        _place(ruled, validator, judge, direction)
    return ruled


def _entry(validator: Validator, direction: Direction, here: str, catalogue: Mapping[str, GuardType]) -> GuardType:
    entry = catalogue.get(validator.type)
    if entry is None:
        raise _wrong(f"{here}.type", f"{validator.type[:80]!r} is no guard; there are {', '.join(sorted(catalogue))}")
    if direction not in entry.directions:
        way = "goes in" if direction == "in" else "comes out"
        raise _wrong(f"{here}.type", f"{entry.name!r} cannot judge what {way}")
    return entry


def _options(validator: Validator, entry: GuardType, threshold: float | None) -> dict[str, Any]:
    """A section's threshold is that of its guards that have one and are not told their own."""
    if threshold is None or "threshold" in validator.options:
        return validator.options
    names = {field.encode_name for field in msgspec.structs.fields(entry.options)}
    return {**validator.options, "threshold": threshold} if "threshold" in names else validator.options


def _check(validator: Validator, judge: Detector | Remote, direction: Direction, here: str) -> None:
    action = validator.on_fail
    if len(validator.name) > MAX_NAME or not validator.name.isprintable():
        raise _wrong(f"{here}.name", f"must be at most {MAX_NAME} printable characters")
    if action == "mask" and direction == "out":
        raise _wrong(f"{here}.on_fail", "mask is for what goes in; for what comes out there is redact")
    if action == "reask" and direction == "in":
        raise _wrong(f"{here}.on_fail", "reask is for what comes out: nothing was asked yet")
    if action == "fallback" and not validator.fallback:
        raise _wrong(f"{here}.fallback", "required by on_fail fallback: the reference that answers instead")
    if validator.fallback and action != "fallback":
        raise _wrong(f"{here}.fallback", f"is for on_fail fallback, not {action}")
    if validator.replacement and action != "replace":
        raise _wrong(f"{here}.replacement", f"is for on_fail replace, not {action}")
    if validator.message and action not in BLOCKING:
        raise _wrong(f"{here}.message", f"is for guards that end an answer, not for on_fail {action}")
    if validator.stage in ("stream", "whole") and direction == "in":
        raise _wrong(f"{here}.stage", f"{validator.stage} is for what comes out; going in there are text and tools")
    if isinstance(judge, Remote):
        _check_places(validator, judge, here)
        if validator.stage == "stream" or (validator.stage == "tools" and not judge.judges_calls):
            raise _wrong(f"{here}.stage", f"{validator.type} judges whole texts only")
        return
    if isinstance(judge, Joint) and direction == "in" and action in REWRITING:
        raise _wrong(f"{here}.on_fail", f"{action} needs places, and {validator.type} is about all messages together")
    if validator.stage == "stream":
        _check_stream(validator, judge, here)


def _check_places(validator: Validator, judge: Remote, here: str) -> None:
    if validator.on_fail not in REWRITING:
        return
    if not judge.places:
        raise _wrong(f"{here}.on_fail", f"{validator.on_fail} needs places, and {validator.type} only says yes or no")
    if judge.rewrites:
        raise _wrong(f"{here}.on_fail", f"{validator.on_fail} writes over places, and may_rewrite over whole texts: choose one")


def _check_stream(validator: Validator, judge: Detector, here: str) -> None:
    if isinstance(judge, Counting):
        if validator.on_fail not in BLOCKING:
            raise _wrong(f"{here}.stage", f"{validator.type} can end a stream, and not rewrite it; whole is possible")
        if judge.rest is not None:
            raise _wrong(f"{here}.stage", f"{validator.type} has bounds that only the end of a text can tell; text is possible")
    elif not streams(judge):
        bound = "no bound" if judge.longest is None else f"{judge.longest} characters"
        raise _wrong(
            f"{here}.stage",
            f"{validator.type} cannot judge a text before it is complete: what it finds has {bound}, "
            f"and at most {MAX_LONGEST} characters are held back; whole is possible",
        )


def streams(detector: Detector) -> bool:
    """Whether it can judge a text that is still coming."""
    return detector.longest is not None and detector.longest <= MAX_LONGEST


def _place(ruled: Ruled, validator: Validator, judge: Detector | Remote, direction: Direction) -> None:
    guard = validator.name or validator.type
    if isinstance(judge, Remote):
        ruled.remote.append(RemoteRule(guard, validator, judge))
        return
    rule = Rule(guard, judge, validator.on_fail, validator.mode, validator.replacement, validator.message, validator.fallback)
    if validator.stage == "tools":
        ruled.tools.append(rule)
    elif direction == "out" and validator.stage != "whole" and rule.blocks and isinstance(judge, Counting):
        ruled.text.append(rule)
        if judge.rest is not None:
            ruled.whole.append(structs.replace(rule, detector=judge.rest))
    elif direction == "in" or (validator.stage != "whole" and streams(judge)):
        ruled.text.append(rule)
    else:
        ruled.whole.append(rule)


def _wrong(param: str, what: str) -> GatewayError:
    return GatewayError(MALFORMED, f"{param}: {what}", param=param)
