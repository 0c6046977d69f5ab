"""Searching only what is near the values of a prompt finds what searching all of it finds."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.conversation import NEAR, Conversation
from gateway.core.documents import Guardrails, MessageTemplate, PreValidation, VersionContent
from gateway.guards.fold import fold
from gateway.guards.plan import compile_guards, knowing
from gateway.prompts.compiler import compile_prompt

letters = st.text(st.sampled_from('ab -ßẞİ_0日\n"\\'), max_size=8)
values = letters | st.sampled_from(["\0", "\\u0000", "x" * NEAR, "\\"]) | st.just("secret")
numbers = " ".join(map(str, range(NEAR)))
"""Long enough to be left out between two values, and nothing in it comes twice."""
filler = st.sampled_from(["", numbers, numbers.replace("1", "ß")])
pieces = st.tuples(letters, filler, letters).map("".join)


@st.composite
def calls(draw: st.DrawFn) -> tuple[list[str], dict[str, str], str, list[str]]:
    """The pieces of a template, values between them, a question, and terms, some of them cut out of what results."""
    parts = draw(st.lists(pieces, min_size=1, max_size=4))
    given_values = {f"v{i}": draw(values) for i in range(len(parts) - 1)}
    text = ""
    seams = [0]
    for i, part in enumerate(parts):
        seams += [len(text := text + part), len(text := text + given_values.get(f"v{i}", ""))]
    question = draw(letters)
    reach = st.integers(0, NEAR)
    around = draw(st.lists(st.tuples(st.sampled_from(seams), reach, reach), max_size=3))
    cuts = [(start, start + length) for seam, before, length in around if (start := seam - before) >= 0]
    terms = [*[text[start:end] for start, end in cuts], "secret"]
    return parts, given_values, question, [term for term in terms if term.strip() and "\0" not in term]


@settings(max_examples=100, deadline=None)
@given(calls())
def test_the_verdict_is_that_on_the_whole_text(call: tuple[list[str], dict[str, str], str, list[str]]):
    parts, given_values, question, terms = call
    source = "".join([part + (f"{{{{ v{i} }}}}" if i + 1 < len(parts) else "") for i, part in enumerate(parts)])
    content = VersionContent([MessageTemplate("system", source), MessageTemplate("user", question)], format="simple")
    prompt = compile_prompt(content)
    whole = compile_guards(Guardrails(PreValidation(prohibited_terms=terms)))
    plan = knowing(whole, prompt.common)
    conversation = prompt.render(given_values, (), near=plan.near)
    assert whole.pre is not None
    assert plan.pre is not None
    assert plan.pre.check(conversation) == whole.pre.check(conversation)
    assert_raw_says_text(conversation)
    assert [message.text for message in prompt.render(given_values, ())] == [message.text for message in conversation]
    # Terms that are in the pieces themselves are looked for in the whole text, as nothing was settled beforehand.
    assert (
        plan.near
        or any(fold(term) in fold("\0".join(prompt.common)) for term in terms)
        or max(map(len, map(fold, terms))) > NEAR
    )


def assert_raw_says_text(conversation: Conversation) -> None:
    for message in conversation:
        assert msgspec.json.decode(message.raw) == {"role": message.role, "content": message.text}
