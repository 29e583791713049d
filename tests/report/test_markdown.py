"""Tables, and the parts of documents that a command writes."""

from pathlib import Path

import pytest

from shizuku.errors import ConfigError
from shizuku.report.markdown import table, write_section


def test_figures_stand_to_the_right() -> None:
    assert table(("model", "bits"), [["a", "1.5"]]) == "| model | bits |\n| --- | ---: |\n| a | 1.5 |"


def test_a_section_is_written_anew_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- all: begin -->\nold\n<!-- all: end -->\nafter\n", encoding="utf-8")
    for text in ("new", "newer\n"):
        write_section(page, "all", text)
    assert page.read_text(encoding="utf-8") == (
        "before\n<!-- all: begin -->\nnewer\n<!-- all: end -->\nafter\n"
    )


@pytest.mark.parametrize(
    "text",
    ["", "<!-- all: begin -->\n", "<!-- all: end -->\n<!-- all: begin -->\n",
     "<!-- all: begin -->\n<!-- all: begin -->\n<!-- all: end -->\n"],
)  # fmt: skip
def test_a_page_without_one_place_is_refused(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="no one place for 'all'"):
        write_section(page, "all", "new")
    assert page.read_text(encoding="utf-8") == text
