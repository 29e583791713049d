"""Tables in Markdown, and the parts of documents that a command writes."""

from collections.abc import Sequence
from pathlib import Path

from shizuku.errors import ConfigError


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its first column is text, the others are figures, to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_section(path: Path, name: str, text: str) -> None:
    """Put `text` between the lines `<!-- name: begin -->` and `<!-- name: end -->` of a document.

    ConfigError where they are not there, once each and in this order.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    whole = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, found, rest = whole.partition(begin)
    old, closed, after = rest.partition(end)
    if not (found and closed) or begin in old + after or end in after:
        raise ConfigError(
            f"{path} has no one place for {name!r}: give it the lines {begin.strip()} and {end}"
        )
    path.write_text(f"{before}{begin}{text.strip()}\n{end}{after}", encoding="utf-8")
