"""A calculator for models: exact, without `eval`, and bounded in time and size.

An expression holds numbers, + - * / // ** and brackets, and nothing else.
"""

import ast
import re
from fractions import Fraction

from shizuku.errors import ShizukuError
from shizuku.tuning.tool_use import Tool

LONGEST = 200
"""Characters of an expression at most."""
MOST_BITS = 1024
"""Size of a number at most, of its numerator and its denominator each; about 300 digits."""
DIGITS = 10
"""Significant digits of a result that no decimal number is equal to."""

_SPELLINGS = (
    (r"(?<=\d),(?=\d{3}(?!\d))", ""), ("[×·]", "*"), (r"(?<=[\d)])\s*x\s*(?=[\d(.])", "*"), ("÷", "/"),
    ("[−–]", "-"), (r"\^", "**"), (r"\$", ""),
)  # fmt: skip
"""What people write, and how it is written here."""


class CalculatorError(ShizukuError):
    """An expression that can't be computed; its words are for the model that wrote it."""


def calculate(expression: str) -> str:
    """The exact value of an expression, as a whole or a decimal number.

    A value that no decimal number is equal to is rounded to ten significant digits, and says "about" before
    it. Raises CalculatorError.
    """
    return written(value(expression))


def value(expression: str) -> Fraction:
    """The exact value of an expression; CalculatorError for what is none, and for what is too large."""
    text = expression.strip()
    if len(text) > LONGEST:
        raise CalculatorError(f"the expression has {len(text)} characters: at most {LONGEST}")
    if "%" in text:
        raise CalculatorError("% means nothing here: write 5/100 in place of 5%")
    for spelling, plain in _SPELLINGS:
        text = re.sub(spelling, plain, text)
    if re.search(r"[^\d\s.+\-*/()]", text):
        raise CalculatorError(f"only numbers, + - * / and brackets can be computed, not {expression!r:.60}")
    try:
        return _value(ast.parse(text, mode="eval").body, text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise CalculatorError(f"{expression!r:.60} is not an expression") from error


def written(number: Fraction) -> str:
    """A number as text: whole, decimal, or "about" and its first ten digits."""
    if number.denominator == 1:
        return str(number.numerator)
    rest, places = number.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest, count = rest // prime, count + 1
        places = max(places, count)
    if rest == 1:
        return _decimal(number, places)
    size = len(str(abs(number.numerator) // number.denominator)) if abs(number) >= 1 else _zeros(number)
    return f"about {_decimal(number, max(0, DIGITS - size))}"


def _zeros(number: Fraction) -> int:
    """Zeros behind the point of a number below 1, as a negative count."""
    count = 0
    while abs(number) * 10 ** (count + 1) < 1:
        count += 1
    return -count


def _decimal(number: Fraction, places: int) -> str:
    """A number with so many places behind its point, zeros at its end left out."""
    whole = round(abs(number) * 10**places)
    digits = str(whole).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".") if places else digits
    return f"-{text}" if number < 0 and whole else text


def _value(node: ast.expr, text: str) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _bounded(Fraction(ast.get_source_segment(text, node) or ""))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        inner = _value(node.operand, text)
        return inner if isinstance(node.op, ast.UAdd) else -inner
    if isinstance(node, ast.BinOp):
        return _bounded(_combined(node.op, _value(node.left, text), _value(node.right, text)))
    raise CalculatorError(f"only numbers, + - * / and brackets can be computed, not {text!r:.60}")


def _combined(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.Pow):
        return _power(left, right)
    if isinstance(operator, ast.Div | ast.FloorDiv):
        if right == 0:
            raise CalculatorError("division by zero")
        return left / right if isinstance(operator, ast.Div) else Fraction(left // right)
    raise CalculatorError("only + - * / and powers can be computed")


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise CalculatorError("an exponent must be a whole number")
    if base == 0 and exponent < 0:
        raise CalculatorError("division by zero")
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if size > 1 and size * abs(exponent.numerator) > 2 * MOST_BITS:
        raise CalculatorError(f"the result is too large: at most {MOST_BITS} bits")
    if size <= 1:  # 0, 1 and -1
        exponent = Fraction(exponent.numerator % 2 or 2 * (exponent != 0))
    return Fraction(base**exponent.numerator)


def _bounded(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MOST_BITS:
        raise CalculatorError(f"the result is too large: at most {MOST_BITS} bits")
    return number


CALCULATOR = Tool(
    name="calculator",
    description="Computes an expression exactly.",
    parameters={
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
    run=calculate,
)
"""The calculator as a tool."""
