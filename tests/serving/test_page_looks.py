"""What the web page looks like in Chromium: both languages, a desk and a phone, light and dark."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import Live, running
from web_page import FAULTS, answered, last, opened

from tiny_language_model import tiny_lm

DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 780}
GROUNDS = {"light": "rgb(247, 248, 248)", "dark": "rgb(16, 20, 23)"}
ANSWER = """## 雨 / Rain

A drop is **small**, says `H2O`. See [the sky](https://sky.example/a/rather/long/address/that/does/not/fit/anywhere).

1. one
2. two
   - 二つ
   - [x] done

> A quotation, 引用。

| 町 | rain (mm) |
|---|--:|
| A town by the sea | 12 |

```python
def drops(count): return [f"drop number {index} of a line too long for any phone" for index in range(count)]
```
"""


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with running({"tiny": tiny_lm(context=1200), "another-model-with-a-long-name-q4": tiny_lm()}) as found:
        yield found


def answer_with(tab: Any, text: str) -> None:
    """An answer that the small model would never find, a character a token, in place of the server's."""

    def chunk(choice: dict[str, Any]) -> str:
        return f"data: {json.dumps({'model': 'tiny', 'choices': [choice]})}\n\n"

    def entry(character: str, at: int) -> dict[str, Any]:
        top = [{"token": character, "logprob": -(at % 5) - 0.01, "bytes": list(character.encode())}]
        return {**top[0], "top_logprobs": [*top, {"token": "x", "logprob": -3.0, "bytes": [120]}]}

    body = "".join(
        chunk({"index": 0, "delta": {"content": one}, "logprobs": {"content": [entry(one, at)]}})
        for at, one in enumerate(text)
    )
    ended = chunk({"index": 0, "delta": {}, "finish_reason": "stop"}) + "data: [DONE]\n\n"
    tab.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(body=body + ended, content_type="text/event-stream"),
    )
    tab.fill("#question", "雨について、表と箇条書きで。" + "Tell me about rain. " * 4)
    tab.press("#question", "Enter")
    last(tab).locator(".figures").wait_for()
    answered(tab)


@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [(DESK, "light", "en-GB"), (DESK, "dark", "ja-JP"), (PHONE, "light", "ja-JP"), (PHONE, "dark", "en-GB")],
    ids=["desk-light-en", "desk-dark-ja", "phone-light-ja", "phone-dark-en"],
)
def test_nothing_is_cut_unreadable_or_without_a_name(
    size: dict[str, int], scheme: str, language: str, chromium: Any, live: Live
) -> None:
    found: list[str] = []
    phone = size is PHONE
    context = {"viewport": size, "color_scheme": scheme, "locale": language, "has_touch": phone}
    with opened(chromium, live.url, **context) as tab:

        def look(scene: str) -> None:
            found.extend(f"{scene}: {fault}" for fault in tab.evaluate(FAULTS))
            pictures = os.environ.get("SHIZUKU_PICTURES")
            if pictures:
                name = f"{scene}-{size['width']}-{scheme}-{language}.png".replace(" ", "-")
                tab.screenshot(path=Path(pictures) / name)

        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS[scheme]
        assert tab.evaluate("document.documentElement.lang") == language[:2]
        look("empty")
        answer_with(tab, ANSWER)
        look("answer")
        tab.locator("#scroll").evaluate("node => node.scrollTo(0, 0)")
        last(tab).locator(".prose p").first.click(position={"x": 20, "y": 12})
        look("token")
        tab.keyboard.press("Escape")
        tab.click("#shade")
        look("probability")
        tab.click("#open-settings")
        look("settings")
        # What a panel covers on a phone can neither be reached nor read aloud.
        assert tab.evaluate("document.querySelector('.stage').inert") == phone
        tab.click("#tab-attention")
        tab.locator(".reads .t").first.wait_for()
        look("attention")
        tab.click("#panel-close")
        assert tab.evaluate("document.activeElement.id") == "open-attention"
        if phone:
            tab.click("#side-open")
        look("conversations")
        tab.locator("#list .icon-button").first.click()
        look("menu")
        tab.keyboard.press("Escape")
        tab.click("#keys")
        look("shortcuts")
        assert not tab.complaints
    assert not found, "\n".join(found)


def test_theme_and_language_are_switched_and_kept(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url, color_scheme="light") as tab:
        ground = "getComputedStyle(document.body).backgroundColor"
        tab.click("#theme")
        assert tab.evaluate(ground) == GROUNDS["light"]
        tab.click("#theme")
        assert tab.evaluate(ground) == GROUNDS["dark"]
        tab.click("#language")
        assert tab.locator("#question").get_attribute("placeholder") == "メッセージを入力"
        tab.reload()
        tab.wait_for_selector("#ideas li")
        assert tab.evaluate(ground) == GROUNDS["dark"]
        assert tab.evaluate("document.documentElement.lang") == "ja"
        assert tab.locator("#new").inner_text().strip().startswith("新しい会話")


def test_both_languages_say_everything(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url) as tab:
        shapes = tab.evaluate("""async () => {
          const { languages } = await import("/words.js")
          const shape = (value) => {
            if (typeof value === "function") return value.length
            if (Array.isArray(value)) return value.length
            if (typeof value === "object") return Object.keys(value).map((key) => [key, shape(value[key])])
            return value.trim() ? "said" : "unsaid"
          }
          return [shape(languages.en), shape(languages.ja)]
        }""")
        assert shapes[0] == shapes[1]
        assert "unsaid" not in str(shapes)


def test_the_keyboard_goes_through_the_page_in_reading_order(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url) as tab:
        answer_with(tab, "A drop.")
        tab.evaluate("document.activeElement.blur()")
        seen: list[str] = []
        for _ in range(40):
            tab.keyboard.press("Tab")
            name = tab.evaluate(
                "(() => { const n = document.activeElement; return n.id || n.className.split(' ').pop() })()"
            )
            if seen and name == seen[0]:
                break
            seen.append(name)
        order = ["skip", "new", "open", "export", "theme", "language", "keys", "model", "shade"]
        order += ["open-attention", "open-settings", "edit", "again", "question"]
        assert [name for name in seen if name in order] == order
        tab.evaluate("document.activeElement.blur()")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == "question"


def test_what_is_read_aloud_is_not_every_token(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url) as tab:
        tab.evaluate("""() => {
          globalThis.said = []
          const spoken = document.querySelector("#said")
          const heard = () => spoken.textContent && said.push(spoken.textContent)
          new MutationObserver(heard).observe(spoken, { childList: true })
        }""")
        answer_with(tab, "A drop of rain. " * 20)
        tab.wait_for_timeout(200)
        assert tab.evaluate("said")[-1] == "The answer is complete: 320 tokens."
        assert len(tab.evaluate("said")) <= 2
        around = tab.evaluate("""() => [...document.querySelectorAll("[aria-live]")]
          .filter((node) => node.contains(document.querySelector(".turn"))).map((node) => node.ariaLive)""")
        assert around == ["off"]


def test_ten_thousand_tokens_stay_fluid(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url) as tab:
        tab.evaluate("""() => {
          globalThis.longest = 0
          new PerformanceObserver((list) => list.getEntries().forEach((entry) =>
            (longest = Math.max(longest, entry.duration)))).observe({ type: "longtask" })
        }""")
        answer_with(tab, ("A paragraph about **rain**.\n\n- 雨\n\n" * 300)[:10_000])
        assert tab.evaluate("document.querySelector('.turn.assistant').view.log.count") == 10_000
        # Ten thousand tokens in one go; each single pause is what a reader would feel.
        assert tab.evaluate("longest") < 1500
        before = tab.evaluate("performance.now()")
        tab.keyboard.press("Alt+p")
        tab.locator(".strip .t").nth(9_999).wait_for()
        assert tab.evaluate("performance.now()") - before < 4000
