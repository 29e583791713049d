"""Statements that arithmetic decides, not the town."""

from collections.abc import Mapping

from shizuku.data.town.facts import KINDS, Value


def sum_holds(kind: str, roles: Mapping[str, Value]) -> bool:
    """Whether a sum of a kind (times, plus, minus, share) is right; with a role left out it is."""
    if any(role not in roles for role in KINDS[kind]):
        return True
    a, b, c = (int(roles[role]) for role in KINDS[kind])
    return {"times": a * b == c, "plus": a + b == c, "minus": a - b == c, "share": a == b * c}[kind]
