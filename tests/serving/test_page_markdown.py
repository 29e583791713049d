"""The page's markdown, in Chromium: what a model writes is shown, never run, and grows in place."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from live_server import running

from tiny_language_model import tiny_lm

PAINT = """async (source) => {
  const { paint } = await import("/painter.js")
  return paint(source, { copy() {}, word: (key) => key }).innerHTML
}"""
ALONE = """async (source) => {
  const { paint } = await import("/painter.js")
  const root = paint(source, { copy() {}, word: (key) => key })
  for (const extra of root.querySelectorAll(".code-head")) extra.remove()
  document.body.append(root)
  await new Promise((done) => setTimeout(done, 30))
  const nodes = [...root.querySelectorAll("*")]
  root.remove()
  return {
    tags: [...new Set(nodes.map((node) => node.localName))],
    attributes: [...new Set(nodes.flatMap((node) => node.getAttributeNames()))],
    addresses: nodes.filter((node) => node.href).map((node) => node.href),
    text: root.textContent,
    hit: Boolean(globalThis.hit),
  }
}"""
PLACES = """async (source) => {
  const { paint, placeOf } = await import("/painter.js")
  const root = paint(source, { copy() {}, word: (key) => key })
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), wrong = []
  let characters = 0
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentNode.closest(".code-head")) continue
    const place = placeOf(node)
    characters += node.data.length
    if (source.slice(place, place + node.data.length) !== node.data) wrong.push(node.data)
  }
  return { wrong, characters }
}"""
TAGS = {
    *("p", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "a", "br", "hr", "blockquote"),
    *("ul", "ol", "li", "input", "table", "thead", "tbody", "tr", "th", "td", "div"),
}
ATTRIBUTES = {
    *("class", "dir", "href", "rel", "role", "start", "tabindex", "target", "title", "translate", "type"),
    *("aria-label", "checked", "disabled"),
}
HOSTILE = [
    "<script>globalThis.hit = 1</script>",
    "<img src=x onerror='globalThis.hit = 1'>",
    "<svg/onload=globalThis.hit=1>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "a <b onmouseover=hit=1>b</b> <style>body{display:none}</style>",
    "[click](javascript:globalThis.hit=1)",
    "[click](java\tscript:globalThis.hit=1)",
    "[click](<  javascript:globalThis.hit=1>)",
    "[click](&#106;avascript:hit=1)",
    "[click](data:text/html,<script>hit=1</script>)",
    "[click](vbscript:hit) [click](file:///etc/passwd) [click](blob:x) [click](//evil.example/x)",
    '[click](https://a.example/"onclick="hit=1 "title")',
    '![alt](https://a.example/x.png "onerror=hit=1")',
    "<javascript:hit=1> <https://a.example/'><img src=x onerror=hit=1>",
    "`<img src=x onerror=hit=1>`",
    '```"onload=hit=1 <script>\n</code></pre><script>globalThis.hit=1</script>\n```',
    "| <script>hit=1</script> | b |\n|---|---|\n| <img src=x onerror=hit=1> | [x](javascript:hit=1) |",
    "- <script>hit=1</script>\n  > <img src=x onerror=hit=1>",
    "__proto__ constructor [__proto__](https://a.example)",
]
SHAPES = [
    ("# One\n\ntext", '<h3 dir="auto">One</h3><p dir="auto">text</p>'),
    ("a **b *c* d** `e` ~~f~~", "a <strong>b <em>c</em> d</strong> <code"),
    ("**「強調」**の例", "<strong>「強調」</strong>の例"),
    ("2 * 3 * 4 and snake_case_name", "2 * 3 * 4 and snake_case_name"),
    ("**never closed", "**never closed"),
    (r"\*plain\* 1\. [x]", "*plain* 1. [x]"),
    ("- a\n- b\n  - c\n  - d\n- e", '<li dir="auto">b<ul dir="auto"><li dir="auto">c</li>'),
    ("3. a\n4. b", '<ol start="3" dir="auto">'),
    ("- [x] done\n- [ ] open", 'checked="" aria-label="taskDone">done'),
    ("> a\n> > b", '<blockquote dir="auto"><p dir="auto">a</p><blockquote dir="auto">'),
    ("| a | b |\n|---|--:|\n| 1 | 2 |", '<td class="at-end" dir="auto">2</td>'),
    ("a\nb", '<p dir="auto">a<br>b</p>'),
    ("see https://a.example/x_(y).", 'href="https://a.example/x_(y)"'),
    ("[a](https://a.example/b(c)d)", 'href="https://a.example/b(c)d"'),
    ("詳しくは https://a.example/x。次", 'href="https://a.example/x"'),
    ("| a<br>b | c |\n|---|---|\n| 1 | 2 |", "a<br>b"),
    ("````md\n```py\nx\n```\n````", ">```py\nx\n```</code>"),
    ("1. a\n   ```py\n   x\n     y\n   ```\n2. b", ">x\n  y</code>"),
    ("مرحبا **بالعالم**", '<p dir="auto">مرحبا <strong>بالعالم</strong></p>'),
    ("![a cat](https://a.example/cat.png)", ">a cat</a>"),
]
FRAGMENTS = [
    *(source for source, _ in SHAPES),
    *HOSTILE[-5:],
    *(
        "\n",
        "\n\n",
        "  ",
        "- ",
        "1. x",
        "> q",
        "```",
        "~~~js\ncode\n",
        "|",
        "---",
        "#",
        "*",
        "a_b_",
        "雨が降る。",
        "\r\n",
    ),
]


@pytest.fixture(scope="module")
def page(chromium: Any) -> Iterator[Any]:
    with running({"tiny": tiny_lm()}) as live:
        context = chromium.new_context()
        tab = context.new_page()
        tab.goto(live.url)
        tab.wait_for_selector("#ideas li")
        yield tab
        context.close()


@pytest.mark.parametrize(("source", "expected"), SHAPES)
def test_markdown_has_its_shape(source: str, expected: str, page: Any) -> None:
    assert expected in page.evaluate(PAINT, source)


@pytest.mark.parametrize("source", HOSTILE)
def test_nothing_that_a_model_writes_is_run(source: str, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    found = page.evaluate(ALONE, source)
    assert not found["hit"]
    assert set(found["tags"]) <= TAGS
    assert set(found["attributes"]) <= ATTRIBUTES
    assert all(address.startswith("https://a.example/") for address in found["addresses"])
    assert not [url for url in asked if not url.startswith(page.url.rstrip("/"))]


def test_markup_is_shown_as_the_characters_it_is(page: Any) -> None:
    source = "<script>alert(1)</script> <b>x</b> &lt;"
    assert page.evaluate(ALONE, source)["text"] == source


def test_a_growing_text_ends_as_the_whole_one(page: Any) -> None:
    draw, gaps = random.Random(0), ("", "\n", "\n\n", " ")
    sources = ["".join(draw.choice(FRAGMENTS) + draw.choice(gaps) for _ in range(9)) for _ in range(120)]
    assert not page.evaluate(DIFFERING, sources)


def test_every_character_shown_knows_its_place(page: Any) -> None:
    sources = [source for source, _ in SHAPES] + [
        "> - a **b**\n>   c `d`\n\n| 雨 | *x* |\n|--|--|\n| a\\|b | c |"
    ]
    for source in sources:
        found = page.evaluate(PLACES, source)
        assert not found["wrong"], source
        assert found["characters"] > 0


DIFFERING = """async (sources) => {
  const { Painter } = await import("/painter.js")
  const grown = (source, step) => {
    const root = document.createElement("div")
    const painter = new Painter(root, { copy() {}, word: (key) => key })
    for (let end = step; end < source.length; end += step) painter.update(source.slice(0, end))
    painter.update(source)
    return root.innerHTML
  }
  const differs = (source, step) => grown(source, step) !== grown(source, source.length)
  return sources.filter((source) => differs(source, 1) || differs(source, 5))
}"""
GROWING = """async ([source, step]) => {
  const { Painter } = await import("/painter.js")
  const root = document.createElement("div")
  const painter = new Painter(root, { copy() {}, word: (key) => key })
  painter.update(source.slice(0, 400))
  const first = root.firstElementChild, began = performance.now()
  for (let end = 400; end < source.length; end += step) painter.update(source.slice(0, end))
  return { kept: root.firstElementChild === first, seconds: (performance.now() - began) / 1000 }
}"""


def test_a_long_answer_grows_without_being_painted_anew(page: Any) -> None:
    block = "A paragraph about **rain** in the town, with `code`.\n\n- one\n- two\n\n```py\nprint(1)\n```\n\n"
    found = page.evaluate(GROWING, [block * 600, 10])  # about 55,000 characters in 5,500 steps
    assert found["kept"]
    assert found["seconds"] < 6


SLOW = """async (units) => {
  const { parseInline } = await import("/inline.js"), { parseBlocks } = await import("/markdown.js")
  const { paint } = await import("/painter.js")
  const seconds = {}
  for (const unit of units) {
    const began = performance.now()
    parseInline([{ text: unit.repeat(40_000), at: 0 }])
    parseBlocks(unit.repeat(40_000))
    parseBlocks((unit + "\\n").repeat(40_000))
    paint(unit.repeat(5_000), { copy() {}, word: (key) => key })
    seconds[unit] = (performance.now() - began) / 1000
  }
  return seconds
}"""


def test_no_text_takes_long(page: Any) -> None:
    """Texts made to be slow: nesting, and marks that never close."""
    units = [
        "*a ",
        "**",
        "[",
        "[a](",
        "[a](x) ",
        "`",
        "`a``",
        "> ",
        "- ",
        "_a*b",
        "~~x",
        "<",
        "|a",
        "![",
        "1. ",
    ]
    seconds = page.evaluate(SLOW, units)
    assert max(seconds.values()) < 5, seconds
