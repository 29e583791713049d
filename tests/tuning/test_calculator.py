"""The calculator is exact, refuses what is no sum, and can't be made to work for long."""

import random
import time
from decimal import Decimal
from fractions import Fraction

import pytest

from shizuku.tuning.calculator import CalculatorError, calculate, value, written


def expression(source: random.Random, depth: int) -> tuple[str, Fraction]:
    """A random expression and its value, computed beside it."""
    if depth == 0:
        digits = f"{source.randint(0, 999)}" + (
            f".{source.randint(0, 99):02d}" if source.random() < 0.3 else ""
        )
        return digits, Fraction(digits)
    (left, one), (right, other) = (
        expression(source, depth - 1),
        expression(source, source.randint(0, depth - 1)),
    )
    sign = source.choice("+-*/" if other else "+-*")
    found = {"+": one + other, "-": one - other, "*": one * other}.get(sign)
    return f"({left}{sign}{right})", one / other if found is None else found


def test_values_are_those_of_exact_fractions() -> None:
    source = random.Random(0)
    for _ in range(300):
        text, exact = expression(source, source.randint(1, 4))
        assert value(text) == exact
        said = calculate(text)
        if said.startswith("about "):
            assert abs(Fraction(said[6:]) - exact) <= abs(exact) * Fraction(1, 10**9)
            assert (exact * 10**400).denominator > 1, "no decimal number is equal to it"
        else:
            assert Fraction(said) == exact


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("354*139", "49206"), ("0.1+0.2", "0.3"), ("2/3*3", "2"), ("1,000*3", "3000"), ("3 x 4", "12"),
        ("7 × 8 ÷ 2", "28"), ("-(2+3)", "-5"), ("2^10", "1024"), ("2**-3", "0.125"), ("7//2", "3"),
        ("$5+$6", "11"),
        ("1/3", "about 0.3333333333"), ("-1/3", "about -0.3333333333"), ("100/3", "about 33.33333333"),
        ("1/30000", "about 0.00003333333333"), ("2-3*4", "-10"), ("9007199254740993+0", "9007199254740993"),
        ("1**99999999999", "1"), ("(-1)**99999999999", "-1"), ("0**0", "1"),
    ],
)  # fmt: skip
def test_what_it_says(text: str, said: str) -> None:
    assert calculate(text) == said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9**9**9", "too large"), ("9**9**9**9", "too large"), ("(1/3)**99999999", "too large"),
        ("10**300*10**300", "too large"), ("9" * 190 + "**9", "too large"),
        ("1+" * 200 + "1", "401 characters"),
        ("(" * 150 + "1" + ")" * 49, "not an expression"), ("1/0", "division by zero"), ("0**-1", "division"),
        ("2**0.5", "whole number"), ("5%*20", "5/100"), ("__import__('os')", "only numbers"),
        ("(1).real", "only"),
        ("a+1", "only numbers"), ("2(3)", "only numbers"), ("1,2", "only numbers"), ("", "not an expression"),
        ("3j", "only"), ("1e400", "only"), ("007", "not an expression"),
        ("1 if 1 else 2", "only"), ("+", "not an"),
    ],
)  # fmt: skip
def test_what_it_refuses_at_once(text: str, reason: str) -> None:
    begin = time.perf_counter()
    with pytest.raises(CalculatorError, match=reason):
        calculate(text)
    assert time.perf_counter() - begin < 0.5


def test_decimal_numbers_are_written_whole() -> None:
    for text in ("0.001", "12.5", "-0.75", "1234567.0000001", "0", "-3"):
        assert Decimal(written(Fraction(text))) == Decimal(text)
        assert "E" not in written(Fraction(text))
