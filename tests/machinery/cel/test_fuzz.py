"""Whatever is written: a value, or one of the declared errors."""

import re
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machinery.cel.test_values import FAULTS, SCOPE, VALUES
from tiphys.machinery import cel

TEXTS = [text for text, _ in VALUES] + [text for text, _ in FAULTS]
TOKENS = sorted({token for text in TEXTS for token in re.findall(r"'[^']*'|\w+|\W", text)})
DYNAMIC = cel.environment(dict.fromkeys(SCOPE, cel.DYN))
DECLARED = (cel.EvaluationError, cel.CostExceeded)


def run(text: str) -> None:
    try:
        program = DYNAMIC.compile(text)
    except cel.CompileError as error:
        assert error.issues
        return
    low, high = program.cost()
    assert low >= 0
    assert low <= high or high == 0
    with suppress(*DECLARED):
        program.evaluate(SCOPE, limit=100_000)


@st.composite
def spliced(draw: st.DrawFn) -> str:
    """Two expressions of the table, cut and joined, with a token exchanged."""
    one, other = draw(st.sampled_from(TEXTS)), draw(st.sampled_from(TEXTS))
    parts: list[Any] = re.findall(r"'[^']*'|\w+|\W", one)
    more: list[Any] = re.findall(r"'[^']*'|\w+|\W", other)
    place = draw(st.integers(0, len(parts)))
    if draw(st.booleans()):
        parts[place:place] = more
    if parts:
        at = draw(st.integers(0, len(parts) - 1))
        parts[at] = draw(st.sampled_from(TOKENS))
    return "".join(parts)


@settings(max_examples=400, deadline=None)
@given(spliced())
def test_expressions_that_are_nearly_right(text: str) -> None:
    run(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    run(text)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TEXTS), st.dictionaries(st.sampled_from(sorted(SCOPE)), st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)))  # fmt: skip
def test_any_values(text: str, values: dict[str, Any]) -> None:
    with suppress(cel.CompileError, *DECLARED):
        DYNAMIC.compile(text).evaluate({**SCOPE, **values})
