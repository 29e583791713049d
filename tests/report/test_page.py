"""The report page: one file, everything escaped, well formed, and marked up for those who hear it."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shizuku.report.page import Card, Figure, Page, Sample, format_value

EVIL = "<script>alert('x')</script> & \"quoted\" `<b>`"
VOID = {"meta", "br", "img", "link", "path", "use", "input", "hr"}


class Checker(HTMLParser):
    """Holds that tags close in the order in which they open, and collects tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def full_page(text: str = "some text") -> Page:
    page = Page(text, text).cards([Card(text, text, text), Card("tokens", "12")]).text(text).aside(text)
    page.section(text, text).heading(text).table(
        [text, "n"], [[text, 1], ["次の行", None]], text, highlight=0
    )
    page.section("Figures").figures(Figure('<svg viewBox="0 0 1 1"><path d="M0 0"/></svg>', text, text))
    page.section("Samples").samples(Sample(text, text, text), Sample("雨が降っていた。", "朝から"))
    return page.section("Going on").commands(text, "shizuku chat out").facts({text: text, "seed": 0}, text)


def test_page_is_well_formed_and_complete() -> None:
    html = full_page().html()
    checked = Checker(html)
    tags = [tag for tag, _ in checked.tags]
    assert html.startswith("<!DOCTYPE html>")
    assert tags.count("h1") == 1
    assert tags.count("h2") == tags.count("section") == 4
    anchors = {f"#{attributes['id']}" for tag, attributes in checked.tags if tag == "section"}
    assert anchors == {attributes["href"] for tag, attributes in checked.tags if tag == "a"}
    assert '<meta name="viewport" content="width=device-width' in html
    assert "prefers-color-scheme: dark" in html


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = full_page(EVIL).html()
    checked = Checker(html)
    assert not {tag for tag, _ in checked.tags} & {"script", "link", "img", "iframe", "b"}
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)|url\((?!#)|@import""", html)
    assert checked.words.count("<script>alert('x')</script>") == 23, "shown as text, wherever it is given"
    assert not [name for _, attributes in checked.tags for name in attributes if name.startswith("on")]


def test_japanese_is_marked_as_such() -> None:
    checked = Checker(full_page().html())
    quotes = [attributes["lang"] for tag, attributes in checked.tags if tag == "blockquote"]
    assert quotes == ["en", "ja"]
    assert ("th", {"scope": "row", "lang": "ja"}) in checked.tags
    explicit = Page("t").samples(Sample("東京", language="ja")).html()
    assert '<blockquote lang="ja">東京' in explicit


def test_what_is_drawn_can_be_heard_and_what_scrolls_can_be_reached() -> None:
    checked = Checker(full_page().html())
    drawings = [
        attributes for tag, attributes in checked.tags if tag == "svg" and "aria-hidden" not in attributes
    ]
    assert [(drawing["role"], drawing["aria-label"]) for drawing in drawings] == [("img", "some text")]
    scrolling = [attributes for _, attributes in checked.tags if attributes.get("class") == "scroll"]
    assert len(scrolling) == 3
    for frame in scrolling:
        assert (frame["tabindex"], frame["role"]) == ("0", "region")
        assert frame["aria-label"]


def test_tables_set_numbers_right_and_refuse_ragged_rows() -> None:
    html = Page("t").table(["what", "n", "mixed"], [["a", 1234567, 0.5], ["b", None, "x"]]).html()
    assert '<td class="number">1,234,567</td>' in html
    assert '<td class="number">–</td>' in html
    assert "<td>0.500</td>" in html
    with pytest.raises(ValueError, match="2 columns, but a row has 1"):
        Page("t").table(["a", "b"], [["x"]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"), (True, "yes"), (0, "0"), (-1234, "−1,234"), (1.0421, "1.042"), (0.5, "0.500"),
        (12.345, "12.35"),
        (1234.5, "1,234"), (98765.4, "98,765"), (3.2e16, "3.2e+16"), (0.0003, "0.0003"), (0.0, "0"),
        (-0.25, "−0.250"), ("text", "text"), (float("nan"), "nan"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_values_are_formatted_for_readers(value: object, expected: str) -> None:
    assert format_value(value) == expected


def test_colours_have_contrast_in_both_schemes() -> None:
    """WCAG AA: 4.5 for text, 3 for what is drawn, on every ground that it stands on."""
    style = Page("t").html()
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in style.split("@media (prefers", 1)
    )

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(one: str, two: str) -> float:
        low, high = sorted(map(luminance, (one, two)))
        return (high + 0.05) / (low + 0.05)

    for scheme in (light, dark):
        for ground in ("ground", "card", "soft"):
            for text in ("ink", "muted", "accent"):
                assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
        for number in range(1, 7):
            assert contrast(scheme[f"series-{number}"], scheme["card"]) >= 3


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Page("first").write(tmp_path / "folder" / "report.html")
    before = path.read_text()

    def breaks(*_: object, **__: object) -> int:
        raise OSError("no space")

    monkeypatch.setattr(Path, "write_text", breaks)
    with pytest.raises(OSError, match="no space"):
        Page("second").write(path)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_page_needs_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from shizuku.report.page import Page; Page('t').section('s').html()\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
