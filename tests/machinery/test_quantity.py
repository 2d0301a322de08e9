from decimal import ROUND_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.machinery import quantity

SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "e2": Decimal(100),
    "E-3": Decimal("1e-3"),
}
amounts = st.decimals(min_value=-(10**6), max_value=10**6, places=4)
texts = st.builds(lambda amount, suffix: f"{amount:f}{suffix}", amounts, st.sampled_from(sorted(SUFFIXES)))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0Gi", "0"),
        ("-0", "0"),
        ("1000m", "1"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1.5", "1500m"),
        ("2.50", "2500m"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("1024Ki", "1Mi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.5Mi", "512Ki"),
        ("1.0001Ki", "1024102400u"),
        ("0.0001Ki", "102400u"),
        ("1e3", "1e3"),
        ("1.5e3", "1500"),
        ("1E3", "1e3"),
        ("12e-1", "1200e-3"),
        ("1E", "1E"),
        ("1000E", "1000E"),
        ("1e-10", "1e-9"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1.1n", "2n"),
        ("+5", "5"),
        (".5", "500m"),
        ("5.", "5"),
        ("100000Pi", "9223372036854775807"),
        ("16Ei", "9223372036854775807"),
        ("1025", "1025"),
        ("3Mi", "3Mi"),
        ("1000000Ki", "1000000Ki"),
        ("010", "10"),
    ],
)
def test_canonical_forms(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must match"),
        ("abc", "must match"),
        ("1 Gi", "must match"),
        ("1Gib", "must match"),
        ("1.1.1", "must match"),
        ("--1", "suffix"),
        ("1kk", "suffix"),
        ("1e", "suffix"),
        ("1mi", "suffix"),
        ("-", "numeric part"),
        ("\u0661", "must match"),
    ],
)
def test_what_is_no_quantity(text: str, message: str) -> None:
    with pytest.raises(quantity.QuantityError, match=message):
        quantity.canonical(text)


@given(texts)
def test_canonical_form_keeps_the_amount(text: str) -> None:
    suffix = next(s for s in sorted(SUFFIXES, key=len, reverse=True) if text.endswith(s))
    exact = Decimal(text[: len(text) - len(suffix)]) * SUFFIXES[suffix]
    expected = exact.quantize(Decimal("1e-9"), ROUND_UP)
    form = quantity.canonical(text)
    assert quantity.parse(form) == quantity.parse(text) == expected
    assert quantity.value(text) == int(expected.to_integral_value(ROUND_UP))
    assert quantity.milli(text) == int((expected * 1000).to_integral_value(ROUND_UP))


@given(texts)
def test_canonical_form_is_its_own(text: str) -> None:
    once = quantity.canonical(text)
    assert quantity.canonical(once) == once


@given(texts, texts)
def test_arithmetic(a: str, b: str) -> None:
    left, right = quantity.parse(a), quantity.parse(b)
    assert quantity.parse(quantity.add(a, b)) == left + right
    assert quantity.parse(quantity.subtract(a, b)) == left - right
    assert quantity.compare(a, b) == (left > right) - (left < right)


def test_sums_keep_the_family_of_the_first() -> None:
    assert quantity.add("1Gi", "1G") == "2073741824"
    assert quantity.add("1Gi", "1024Mi") == "2Gi"
    assert quantity.add("0", "1024Ki") == "1Mi"
    assert quantity.subtract("2", "500m") == "1500m"
    assert quantity.from_decimal(Decimal("0.25")) == "250m"
    assert quantity.from_decimal(2**20, quantity.BINARY_SI) == "1Mi"


@given(st.text(max_size=12))
def test_garbage_never_does_worse_than_refuse(text: str) -> None:
    try:
        quantity.canonical(text)
    except quantity.QuantityError:
        return
    quantity.value(text)
