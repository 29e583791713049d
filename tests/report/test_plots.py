"""Plots as SVG: text as text, colours that follow the page, ids of their own, the same bytes each time."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import numpy as np
import pytest

from shizuku.errors import MissingExtraError
from shizuku.report import plots
from shizuku.report.plots import Series, bars, histogram, line, scatter

SERIES = [Series("training", [1, 10, 100], [3.0, 2.0, 1.5]), Series("検証", [1, 10, 100], [3.1, np.nan, 1.6])]
DRAW: dict[str, Callable[[], str]] = {
    "line": lambda: line(SERIES, x="tokens", y="loss", log_x=True, references={"order-5": 2.2}, marks=True),
    "scatter": lambda: scatter(SERIES, x="長さ", y="loss", log_y=True),
    "histogram": lambda: histogram([1, 2, 2, 3, np.inf], x="length", bins=3),
    "bars": lambda: bars({"this model": 1.04, "xz -9": 1.87}, x="bits per byte", highlight="this model"),
}


@pytest.fixture(params=DRAW)
def svg(request: pytest.FixtureRequest) -> str:
    return DRAW[request.param]()


def test_plots_fit_any_page(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    assert not {"width", "height"} & root.attrib.keys(), "the page decides the size"
    assert "<metadata" not in svg
    assert "currentColor" in svg
    assert "var(--series-1, #0b6785)" in svg
    colours = set(re.findall(r"(?:fill|stroke): (#\w{6})", svg))
    assert not colours, "every colour follows the page's scheme"


def test_ids_are_unique_on_a_page_and_the_same_each_time() -> None:
    drawn = [draw() for draw in DRAW.values()]
    ids = [found for svg in drawn for found in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids)) > 20
    for svg in drawn:
        here = set(re.findall(r'\bid="([^"]*)"', svg))
        assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', svg)) <= here
    assert drawn == [draw() for draw in DRAW.values()]


def texts(svg: str) -> list[str]:
    return [
        "".join(node.itertext()).strip()
        for node in ElementTree.fromstring(svg).iter()
        if node.tag.endswith("}text")
    ]


def test_text_stays_text() -> None:
    words = texts(DRAW["line"]())
    assert {"tokens", "loss", "training", "検証", "order-5"} <= set(words)
    assert {"this model", "xz -9", "1.04", "1.87", "bits per byte"} <= set(texts(DRAW["bars"]()))
    assert "長さ" in texts(DRAW["scatter"]())


def test_one_series_needs_no_legend() -> None:
    assert "training" not in texts(line(SERIES[:1], x="tokens"))


def test_ticks_are_short() -> None:
    assert [plots._tick(value) for value in (0, 0.25, 1500, 2e6, -3e9)] == ["0", "0.25", "1.5k", "2M", "−3G"]
    assert [plots._tick(value) for value in (1e15, 2e12, 1e-5)] == ["10¹⁵", "2T", "10⁻⁵"]
    assert {"10k", "100k", "1M"} <= set(texts(line([Series("", [1e4, 1e6], [1, 2])], log_x=True)))


def test_long_series_are_thinned_and_keep_their_ends() -> None:
    x = np.arange(200_000)
    svg = line([Series("long", x, np.sin(x / 1e4))])
    assert len(svg) < 120_000
    short = line([Series("long", x[[0, -1]], [0, np.sin(x[-1] / 1e4)])])
    assert texts(svg)[:3] == texts(short)[:3]


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'shizuku\[report\]'"):
        line(SERIES)
