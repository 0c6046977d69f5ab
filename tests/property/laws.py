"""The law of :class:`gateway.guards.detector.Detector`, for the property tests of every detector."""

from typing import Any

from gateway.guards.detector import Contextual, Finding


def check_law(detector: Any, text: str, cut: int) -> None:
    """Cut a text into a left part and a rest: what is not held of the left part is judged as in the whole."""
    assert detector.longest is not None
    findings = check_order(detector, text)
    left = text[: min(cut, len(text))]
    held = detector.hold(left)
    assert 0 <= held <= min(len(left), detector.longest)
    border = len(left) - held
    assert [f for f in detector.find(left) if f.start < border] == [f for f in findings if f.start < border]
    assert all(f.end <= len(left) for f in findings if f.start < border)
    # What is left of the border, and of what was found there, can be let go.
    border = max([border, *(f.end for f in findings if f.start < border)])
    before = min(detector.before, border)
    rest = text[border - before :]
    found = detector.find_from(rest, before) if isinstance(detector, Contextual) else detector.find(rest)
    moved = [Finding(f.start + border - before, f.end + border - before, f.what) for f in found if f.start >= before]
    assert moved == [f for f in findings if f.start >= border]


def check_order(detector: Any, text: str) -> list[Finding]:
    """The findings of a text, in order, not overlapping, inside of it."""
    findings = list(detector.find(text))
    end = 0
    for finding in findings:
        assert end <= finding.start <= finding.end <= len(text)
        end = finding.end
    return findings
