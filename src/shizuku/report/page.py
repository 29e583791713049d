"""A report as one HTML file: no scripts, nothing fetched, readable at any width, in light and dark."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

DROP = (
    '<svg viewBox="0 0 34 46" aria-hidden="true">'
    '<path d="M17 0C17 0 2 18 2 30a15 15 0 0 0 30 0C32 18 17 0 17 0Z"/></svg>'
)
TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<div class="page">
<header>{drop}{heading}{subtitle}</header>
<main>
{top}
{contents}
{sections}
</main>
<footer>Shizuku LM (<span lang="ja">雫</span>): a language model’s whole life in one small package.</footer>
</div>
</body>
</html>
"""
KANA = re.compile("[\u3041-\u30fa]")


@dataclass(frozen=True, slots=True)
class Card:
    """One key number."""

    label: str
    """What it is."""
    value: str
    """The number, formatted, with its unit."""
    note: str = ""
    """What it should be read beside."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawing with its caption."""

    svg: str
    """Inline SVG, as the functions of `shizuku.report.plots` make it."""
    caption: str
    """What it shows, shown below it."""
    description: str = ""
    """What a reader who cannot see it should know; the caption if empty."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A text that a model wrote."""

    text: str
    """What it wrote."""
    prompt: str = ""
    """What it was given, set off from what it wrote."""
    label: str = ""
    """How it came about: which model, which settings."""
    language: str = ""
    """BCP 47 code, such as "ja"; empty = Japanese where there is kana, else English."""


class Page:
    """A report that grows from top to bottom; every method returns the page, all text but `insert`'s is
    escaped."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self._top: list[str] = []
        self._sections: list[tuple[str, list[str]]] = []

    def section(self, title: str, lead: str = "") -> Page:
        """Begins a section, with one paragraph that says what is to be seen in it."""
        self._sections.append((title, []))
        return self._add(lead and _element("p", lead, "lead"))

    def heading(self, title: str) -> Page:
        """A heading inside a section."""
        return self._add(_element("h3", title))

    def text(self, *paragraphs: str) -> Page:
        """Plain paragraphs; what stands between backticks is set as code."""
        return self._add("".join(f"<p{_lang(text)}>{_marked(text)}</p>" for text in paragraphs))

    def aside(self, text: str) -> Page:
        """A remark that should not be missed: a limit, a caveat, a surprise."""
        return self._add(f'<div class="aside" role="note"><p{_lang(text)}>{_marked(text)}</p></div>')

    def cards(self, cards: Sequence[Card]) -> Page:
        """The key numbers, side by side."""
        items = "".join(
            f"<div>{_element('dt', card.label)}{_element('dd', card.value, 'value')}"
            f"{card.note and _element('dd', card.note, 'note')}</div>"
            for card in cards
        )
        return self._add(f'<dl class="cards">{items}</dl>')

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        caption: str = "",
        highlight: int | None = None,
    ) -> Page:
        """A table whose first column names the rows; numbers are set right, None is a dash.

        `highlight` is the number of the row to set off. On narrow screens the table scrolls inside its frame.
        Raises ValueError if a row has not as many cells as there are columns.
        """
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(
                    f"the table has {len(columns)} columns, but a row has {len(row)} cells: {row!r}"
                )
        numeric = [
            any(_is_number(row[at]) for row in rows)
            and all(row[at] is None or _is_number(row[at]) for row in rows)
            for at in range(len(columns))
        ]
        head = "".join(
            _element("th", name, "number" if right else "", "col")
            for name, right in zip(columns, numeric, strict=True)
        )
        body = "".join(_row(row, numeric, highlighted=at == highlight) for at, row in enumerate(rows))
        title = caption and _element("caption", caption)
        label = escape(caption or ", ".join(columns), quote=True)
        return self._add(
            f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>{title}'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def facts(self, facts: Mapping[str, object], caption: str = "") -> Page:
        """Names and values as a table of two columns: settings, sizes, digests."""
        return self.table(
            ("name", "value"), [(name, format_value(value)) for name, value in facts.items()], caption
        )

    def figures(self, *figures: Figure) -> Page:
        """Drawings, side by side where there is room."""
        items = "".join(
            f'<figure role="group"{_lang(figure.caption)}>{_described(figure)}'
            f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
            for figure in figures
        )
        return self._add(f'<div class="figures">{items}</div>')

    def samples(self, *samples: Sample) -> Page:
        """What a model wrote, with the prompt set off."""
        return self._add(f'<div class="samples">{"".join(map(_sample, samples))}</div>')

    def insert(self, html: str) -> Page:
        """HTML as it is: what is not markup in it has been escaped."""
        return self._add(html)

    def commands(self, *commands: str) -> Page:
        """Commands to go on with, one a line, scrolling inside their frame."""
        lines = escape("\n".join(commands))
        return self._add(
            '<div class="scroll" role="region" tabindex="0" aria-label="commands">'
            f"<pre><code>{lines}</code></pre></div>"
        )

    def html(self) -> str:
        """The whole page."""
        links = "".join(
            f'<li><a href="#section-{number}"{_lang(title)}>{escape(title)}</a></li>'
            for number, (title, _) in enumerate(self._sections, start=1)
        )
        return TEMPLATE.format(
            title=escape(self.title),
            style=(files("shizuku.report") / "style.css").read_text(encoding="utf-8"),
            drop=DROP,
            heading=_element("h1", self.title),
            subtitle=self.subtitle and _element("p", self.subtitle, "subtitle"),
            top="\n".join(self._top),
            contents=f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if len(self._sections) > 2 else "",
            sections="\n".join(
                f'<section id="section-{number}">\n{_element("h2", title)}\n{chr(10).join(parts)}\n</section>'
                for number, (title, parts) in enumerate(self._sections, start=1)
            ),
        )

    def write(self, path: str | Path) -> Path:
        """Writes the page, whole or not at all, and returns its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        building = path.with_name(f".{path.name}.writing")
        try:
            building.write_text(self.html(), encoding="utf-8")
            building.replace(path)
        finally:
            building.unlink(missing_ok=True)
        return path

    def _add(self, html: str) -> Page:
        (self._sections[-1][1] if self._sections else self._top).append(html)
        return self


def format_value(value: object) -> str:
    """A value as a reader wants it: thousands set off, four significant digits, a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return _float(value).replace("-", "−")
    return str(value)


def _float(value: float) -> str:
    size = abs(value)
    if size == 0 or not 1e-3 <= size < 1e15:
        return f"{value:.3g}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(size))) if size >= 1 else 3}f}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _row(row: Sequence[object], numeric: Sequence[bool], *, highlighted: bool) -> str:
    kinds = ["number" if right else "" for right in numeric]
    texts = [format_value(value) for value in row]
    cells = [_element("th", texts[0], kinds[0], "row")]
    cells += [_element("td", text, kind) for text, kind in zip(texts[1:], kinds[1:], strict=True)]
    kind = ' class="highlight"' if highlighted else ""
    return f"<tr{kind}>" + "".join(cells) + "</tr>"


def _described(figure: Figure) -> str:
    label = escape(figure.description or figure.caption, quote=True)
    return figure.svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _sample(sample: Sample) -> str:
    language = sample.language or ("ja" if KANA.search(sample.prompt + sample.text) else "en")
    label = sample.label and _element("figcaption", sample.label)
    prompt = sample.prompt and _element("span", sample.prompt, "prompt")
    text = f'<blockquote lang="{escape(language, quote=True)}">{prompt}{escape(sample.text)}</blockquote>'
    return f"<figure>{label}{text}</figure>"


def _marked(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _element(tag: str, text: str, kind: str = "", scope: str = "") -> str:
    """An escaped text in its tag, marked as Japanese where it is."""
    attributes = (f' class="{kind}"' if kind else "") + (f' scope="{scope}"' if scope else "")
    return f"<{tag}{attributes}{_lang(text)}>{escape(text)}</{tag}>"


def _lang(text: str) -> str:
    return ' lang="ja"' if KANA.search(text) else ""
