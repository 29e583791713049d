"""Reports in a real browser, on a desk and on a phone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from in_browser import faults
from shizuku.report.page import Card, Figure, Page, Sample
from shizuku.report.plots import Series, bars, line

OPERATIONS = (2e12, 9.7e10, 1.25e16)


def report() -> Page:
    """As a life's report: plots of long numbers, a wide table, a narrow one, both scripts."""
    page = Page("A life in 5 minutes", "422,528 parameters trained on 2,756,608 tokens of a simulated town")
    page.cards([Card("bits per byte, held-out text", "0.639", "xz -9, primed: 0.931")] * 4)
    page.section("What it learned", "Loss in nats a token.")
    for most in OPERATIONS:
        x = np.linspace(most / 100, most, 100)
        curves = [Series("training", x, 3 - x / most), Series("held out", x, 3.1 - x / most)]
        page.figures(
            Figure(line(curves, x="operations", y="loss (nats a token)"), "Loss against operations.")
        )
    page.figures(Figure(bars({"order-5 byte model": 1.137, "this model": 0.639}, x="bits per byte"), "Bits."))
    page.samples(
        Sample(text="It was a bright morning. " * 9, prompt="It"), Sample(text="朝、雨が降った。" * 30)
    )
    page.table(
        ["layers x width", *["tokens a second"] * 5], [["3x64", *[422_528] * 5]], "The law ranks. " * 9
    )
    page.facts({"held-out text that stands in training": "8.73%", "bytes gathered": 8_000_088})
    page.facts({"energy and price": "give --watts and --price-per-hour to have them stated"})
    return page.commands("shizuku export life/model --format gguf --type q8_0 --out model.gguf")


def test_nothing_is_cut_or_overlaps_on_a_desk_and_on_a_phone(chromium: Any, tmp_path: Path) -> None:
    assert not faults(chromium, report().write(tmp_path / "report.html"))


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ("<div style='width: 2000px'>wide</div>", "the page is wider"),
        ("<figure><svg viewBox='0 0 9 9'><text>a</text><text>b</text></svg></figure>", "overlap"),
        ("<img src='http://127.0.0.1:9/x.png'>", "127.0.0.1:9/x.png"),
    ],
)
def test_faults_are_seen(broken: str, fault: str, chromium: Any, tmp_path: Path) -> None:
    whole = report().html().replace("<footer>", broken + "<footer>")
    (tmp_path / "report.html").write_text(whole, encoding="utf-8")
    assert any(fault in found for found in faults(chromium, tmp_path / "report.html"))
