"""The figures that a verb came to, a line each, for a person."""

from collections.abc import Collection, Mapping


def print_figures(result: Mapping[str, object], *, but: Collection[str] = ()) -> None:
    """Print every figure but those named; intervals as `low to high`."""
    for name, value in result.items():
        if name not in but:
            print(f"{name.replace('_', ' '):<28} {_text(value)}")


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "–" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        numbers = all(isinstance(each, float) for each in value)
        return (" to " if numbers else ", ").join(_text(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    return str(value)
