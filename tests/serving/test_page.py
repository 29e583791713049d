"""The web page in Chromium, against a real server: talking, branching, looking at tokens and attention."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_server import Live, running
from web_page import answered, kept, last, opened, say

from shizuku.language_model import LanguageModel
from tiny_language_model import bare_lm, tiny_model, tokenizer

CONTEXT = 600
HELLO = "The cat sat on the mat."


def speaker() -> LanguageModel:
    """A random model, one of those whose first words can be read; a new one each time, since two engines on
    one runtime would write into each other's cache."""
    model = tiny_model(tokenizer().vocab_size, context=CONTEXT, seed=6, gain=3.0)
    return LanguageModel(model, tokenizer())


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with running({"tiny": speaker()}) as found:
        yield found


@pytest.fixture
def tab(chromium: Any, live: Live) -> Iterator[Any]:
    with opened(chromium, live.url) as found:
        yield found
        assert not found.complaints


def answer_to(content: str, count: int = 24) -> str:
    """What the model says, in this process."""
    messages = [{"role": "user", "content": content}]
    return speaker().respond(messages, max_new_tokens=count, temperature=0.0).content


# ---- talking


def test_an_answer_is_the_models_and_outlives_a_reload(tab: Any) -> None:
    say(tab, HELLO)
    turns = kept(tab, "turns")
    (said,) = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    # Half a character at the end is not shown: more tokens could still complete it.
    assert said.rstrip("\ufffd") == answer_to(HELLO).rstrip("\ufffd")
    assert tab.locator("#list .open").all_inner_texts() == [HELLO]
    assert "24 tokens" in last(tab).locator(".figures").inner_text()
    names, values = (tab.locator(f"#live {part}").all_inner_texts() for part in ("dt", "dd"))
    figures = dict(zip(names, values, strict=True))
    assert figures["tokens"] == "24" and figures["memory"].endswith("B") and float(figures["tokens/s"]) > 0
    before = last(tab).locator(".prose").inner_html()
    tab.reload()
    tab.wait_for_selector(".turn.assistant")
    assert last(tab).locator(".prose").inner_html() == before
    assert tab.title() == f"{HELLO} · Shizuku"


def test_keys_of_the_message_field(tab: Any) -> None:
    field = tab.locator("#question")
    field.fill("one")
    field.press("Shift+Enter")
    assert field.input_value() == "one\n"
    # An input method's Enter chooses a word and must not send. Safari gives it after composing, as 229.
    for init in ({"isComposing": True}, {"keyCode": 229}):
        field.evaluate(
            "(node, init) => node.dispatchEvent(new KeyboardEvent('keydown', "
            "{ key: 'Enter', bubbles: true, cancelable: true, ...init }))",
            init,
        )
    assert tab.locator(".turn").count() == 0
    field.press("Enter")
    tab.wait_for_selector(".turn.user")
    answered(tab)
    assert field.input_value() == ""
    assert field.evaluate("node => node === document.activeElement")
    field.press("ArrowUp")
    assert tab.locator(".edit-field").input_value() == "one\n"
    tab.locator(".edit-field").press("Escape")
    assert tab.locator(".edit-field").count() == 0


def test_escape_stops_the_answer_and_the_server(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url, {"sampling": {"temperature": 0}}) as tab:
        tab.fill("#question", HELLO)
        tab.press("#question", "Enter")
        tab.wait_for_selector(".turn.assistant p")
        tab.keyboard.press("Escape")
        answered(tab)
        tab.wait_for_selector(".ended")
        made = tab.evaluate("document.querySelector('.turn.assistant').view.log.count")
        assert 0 < made < CONTEXT - 60
        tab.wait_for_timeout(200)
        assert live.get("/shizuku/status").json()["running"] == 0
        tab.click(".go-on")
        tab.wait_for_selector("body.is-writing")
        tab.wait_for_timeout(300)
        tab.click("#send")
        answered(tab)
        assert tab.evaluate("document.querySelector('.turn.assistant').view.log.count") > made


def test_branches_are_kept(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url, {"sampling": {"temperature": 2, "max_tokens": 12}}) as tab:
        say(tab, HELLO)
        first = last(tab).locator(".prose").inner_text()
        last(tab).locator(".again").click()
        tab.wait_for_selector(".turn.assistant .branches")
        answered(tab)
        assert last(tab).locator(".branches span").inner_text() == "2/2"
        second = last(tab).locator(".prose").inner_text()
        assert second != first
        last(tab).get_by_role("button", name="Previous version").click()
        assert last(tab).locator(".prose").inner_text() == first
        # The focus stays where one can go on stepping.
        assert tab.evaluate("document.activeElement.dataset.step") == "next"
        tab.locator(".turn.user").hover()
        tab.locator(".turn.user .edit").click()
        tab.fill(".edit-field", "A boat.")
        tab.press(".edit-field", "Enter")
        tab.wait_for_selector(".turn.user .branches")
        answered(tab)
        assert tab.locator(".turn").count() == 2
        tab.locator(".turn.user").get_by_role("button", name="Previous version").click()
        assert [tab.locator(".turn.user .prose").inner_text(), last(tab).locator(".prose").inner_text()] == [
            HELLO,
            first,
        ]
        tab.reload()
        tab.wait_for_selector(".turn.assistant")
        assert last(tab).locator(".prose").inner_text() == first
        assert len(kept(tab, "turns")) == 5


def test_system_prompt_and_sampling_reach_the_server(tab: Any) -> None:
    bodies: list[dict[str, Any]] = []
    tab.on(
        "request",
        lambda request: request.url.endswith("/completions") and bodies.append(request.post_data_json),
    )
    tab.keyboard.press("Alt+s")
    tab.fill("#system", "Say little.")
    for name, value in {
        "temperature": "0.5",
        "top_p": "0.9",
        "top_k": "7",
        "min_p": "0.02",
        "max_tokens": "5",
        "seed": "3",
    }.items():
        tab.fill(f"#set-{name}", value)
    tab.fill("#set-repetition_penalty", "9")
    assert tab.get_attribute("#set-repetition_penalty", "aria-invalid") == "true"
    say(tab, HELLO)
    expected = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.02,
        "max_tokens": 5,
        "seed": 3,
        "model": "tiny",
    }
    assert bodies[0].items() >= expected.items()
    assert "repetition_penalty" not in bodies[0]
    assert bodies[0]["messages"] == [
        {"role": "system", "content": "Say little."},
        {"role": "user", "content": HELLO},
    ]


def test_an_answer_goes_on_while_another_conversation_is_looked_at(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url, {"sampling": {"temperature": 0, "max_tokens": 300}}) as tab:
        tab.fill("#question", HELLO)
        tab.press("#question", "Enter")
        tab.wait_for_selector(".turn.assistant p")
        tab.keyboard.press("Alt+n")
        assert tab.locator(".turn").count() == 0
        assert tab.locator("body.is-writing").count() == 0
        tab.get_by_role("button", name=HELLO, exact=True).click()
        last(tab).locator(".figures").wait_for()
        whole = answer_to(HELLO, 300)
        assert tab.evaluate("document.querySelector('.turn.assistant').view.turn.content").rstrip(
            "\ufffd"
        ) == whole.rstrip("\ufffd")
        assert len(kept(tab, "conversations")) == 1
        assert not tab.complaints


def test_what_is_copied_is_the_source(chromium: Any, live: Live) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(chromium, live.url, permissions=permissions) as tab:
        say(tab, "**a**\n`b`")
        for turn in ("user", "assistant"):
            tab.locator(f".turn.{turn}").hover()
            tab.locator(f".turn.{turn}").get_by_role("button", name="Copy").first.click()
            tab.locator(f".turn.{turn} .icon-button.done").wait_for()
            content = tab.evaluate(f"document.querySelector('.turn.{turn}').view.turn.content")
            # Control characters, which this model likes, do not all survive a clipboard.
            copied = tab.evaluate("navigator.clipboard.readText()")
            assert copied.replace("\r\n", "\n")[:5] == content[:5]


# ---- the list


def test_conversations_are_renamed_exported_deleted_and_brought_back(tab: Any, tmp_path: Path) -> None:
    say(tab, HELLO)
    tab.keyboard.press("Alt+n")
    say(tab, "雨が降っています。")
    titles = tab.locator("#list .open")
    assert titles.all_inner_texts() == ["雨が降っています。", HELLO]

    def choose(entry: str) -> None:
        tab.locator("#list .icon-button").first.click()
        tab.get_by_role("menuitem", name=entry).click()

    choose("Rename")
    tab.fill(".rename", "Rain")
    tab.press(".rename", "Enter")
    tab.get_by_role("button", name="Rain", exact=True).wait_for()
    with tab.expect_download() as download:
        tab.click("#export")
    file = tmp_path / "all.json"
    download.value.save_as(file)
    assert [len(pair["turns"]) for pair in json.loads(file.read_text())["conversations"]] == [2, 2]
    choose("Delete")
    tab.get_by_text("“Rain” deleted.").wait_for()
    assert titles.all_inner_texts() == [HELLO]
    assert len(kept(tab, "turns")) == 2
    tab.get_by_role("button", name="Undo").click()
    tab.get_by_role("button", name="Rain", exact=True).wait_for()
    assert len(kept(tab, "turns")) == 4
    tab.set_input_files("#file", file)
    tab.get_by_text("2 conversations imported.").wait_for()
    assert sorted(titles.all_inner_texts()) == sorted(["Rain", HELLO] * 2)
    for broken, said in (("{", "isn't JSON"), ('{"format": "x"}', "isn't an export")):
        file.write_text(broken)
        tab.set_input_files("#file", file)
        tab.locator(".notice", has_text=said).wait_for()


# ---- tokens


def test_a_token_shows_its_probability_and_what_else_was_likely(tab: Any, live: Live) -> None:
    say(tab, HELLO)
    asked = {"messages": [{"role": "user", "content": HELLO}], "temperature": 0, "max_tokens": 24}
    reply = live.post("/v1/chat/completions", {**asked, "logprobs": True, "top_logprobs": 8}).json()
    entries = reply["choices"][0]["logprobs"]["content"]
    box = last(tab).locator(".prose").bounding_box()
    tab.mouse.click(box["x"] + 4, box["y"] + 14)
    glass = tab.locator("#inspector")
    assert glass.get_by_text("Token 1 of 24").is_visible()
    assert glass.locator(".figures strong").inner_text() == f"{100 * math.exp(entries[0]['logprob']):.1f} %"
    shares = [f"{100 * math.exp(top['logprob']):.1f} %" for top in entries[0]["top_logprobs"]]
    assert glass.locator("li:not(.rest) .share").all_inner_texts() == shares
    assert glass.locator(".alternative.taken .token-text").count() == 1
    tab.keyboard.press("Escape")
    assert not glass.is_visible()


def test_another_token_begins_a_branch_that_goes_on_from_it(tab: Any) -> None:
    say(tab, HELLO)
    tab.keyboard.press("Alt+p")
    tab.locator(".strip [data-index='3']").click()
    log = "document.querySelector('.turn.assistant').view.log"
    ids, tops = tab.evaluate(f"{log}.ids"), tab.evaluate(f"{log}.tops[3].map(([, , id]) => id)")
    other = tops[2]
    tab.locator("#inspector .alternatives li").nth(2).locator("button").click()
    tab.wait_for_selector(".turn.assistant .branches")
    answered(tab)
    found = tab.evaluate(f"{log}.ids")
    assert found[:4] == [*ids[:3], other]
    lm = speaker()
    prompt = lm.tokenizer.encode_chat([{"role": "user", "content": HELLO}])
    for at in range(4, 10):  # each further token is the best one behind what stands before it
        assert found[at] == int(np.argmax(lm.logits([*prompt, *found[:at]])[-1]))
    assert any(turn.get("tokens", {}).get("ids") == found for turn in kept(tab, "turns"))


def test_tokens_are_shaded_and_reached_from_the_keyboard(tab: Any) -> None:
    say(tab, HELLO)
    tab.keyboard.press("Alt+p")
    tokens = tab.locator(".strip .t")
    tokens.first.wait_for()
    assert tokens.count() == 24
    shades = tab.evaluate("""() => {
      const { log } = document.querySelector(".turn.assistant").view
      const nodes = [...document.querySelectorAll(".strip .t")]
      return nodes.map((node, at) => [node.className.match(/p([0-5])/)[1], log.probability(at)])
    }""")
    edges = tab.evaluate("""async () => {
      const { shade } = await import("/tokens.js")
      return [1, 0.9, 0.89, 0.6, 0.59, 0.3, 0.29, 0.1, 0.09, 0.03, 0.029, 0].map(shade)
    }""")
    assert edges == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    for shade, probability in shades:
        assert int(shade) == sum(probability < least for least in (0.9, 0.6, 0.3, 0.1, 0.03))
    tokens.first.focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.dataset.index") == "1"
    assert "%" in tab.evaluate("document.activeElement.getAttribute('aria-label')")
    tab.keyboard.press("Enter")
    assert tab.locator("#inspector").get_by_text("Token 2 of 24").is_visible()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#inspector").get_by_text("Token 3 of 24").is_visible()
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.dataset.index") == "2"
    assert tab.locator(".strip [tabindex='0']").count() == 1
    tab.keyboard.press("Alt+p")
    assert tab.locator(".strip").count() == 0


def test_a_model_without_a_chat_template_continues_the_text(chromium: Any) -> None:
    with running({"bare": bare_lm(context=200)}) as live, opened(chromium, live.url) as tab:
        assert tab.locator("#question").get_attribute("placeholder") == "Begin a text"
        say(tab, "The cat")
        lm = bare_lm(context=200)
        expected = lm.generate("The cat", max_new_tokens=24, temperature=0.0)
        said = tab.evaluate("document.querySelector('.turn.assistant').view.turn.content")
        assert said.rstrip("\ufffd") == expected.rstrip("\ufffd")
        logprobs = tab.evaluate("document.querySelector('.turn.assistant').view.log.logprobs")
        logits = np.asarray(lm.logits(lm.prompt_ids("The cat"))[-1], dtype=np.float64)
        assert abs(logprobs[0] - (logits.max() - np.logaddexp.reduce(logits))) < 1e-4
        tab.click(".go-on")
        tab.wait_for_selector("body.is-writing, .figures")
        answered(tab)
        further = tab.evaluate("document.querySelector('.turn.assistant').view.turn.content")
        assert further.startswith(said) and len(further) > len(said)
        tab.keyboard.press("Alt+a")
        tab.locator(".reads .t").first.wait_for()


# ---- attention


def test_attention_of_any_head_is_the_models_own(tab: Any, live: Live) -> None:
    say(tab, HELLO)
    tab.keyboard.press("Alt+a")
    tab.locator(".reads .t").first.wait_for()
    layer = tab.locator("#slide-layer")
    layer.focus()
    with tab.expect_response("**/shizuku/attention") as answer:
        layer.press("ArrowRight")
    assert answer.value.request.post_data_json["layer"] == 1
    weights = answer.value.json()["weights"]
    tab.locator("#pick-layer").evaluate("node => node.value === '1' || Promise.reject(node.value)")
    assert np.abs(np.sum(weights, axis=1) - 1).max() < 1e-4
    size = len(weights)
    assert tab.locator(".reads .t").count() == size
    assert tab.evaluate("document.activeElement.id") == "slide-layer"
    pixels = tab.evaluate("""() => {
      const canvas = document.querySelector(".map canvas"), { width, height } = canvas
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height)
      return Array.from({ length: width * height }, (_, at) => data[4 * at + 3])
    }""")
    drawn = np.array(pixels).reshape(size, size)
    assert np.abs(drawn - 255 * np.cbrt(np.array(weights))).max() <= 1
    row = size // 2
    tab.locator(f".reads [data-index='{row}']").click()
    assert "sums to 1.0000" in tab.locator(".row-facts").inner_text()
    best = max(weights[row])
    assert f"{100 * best:.1f} %" in tab.locator(".row-facts li").first.inner_text()
    tab.keyboard.press("ArrowLeft")
    assert tab.locator(".reads .from").get_attribute("data-index") == str(row - 1)


def test_attention_of_a_long_conversation_is_that_of_its_end(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url, {"sampling": {"temperature": 0, "max_tokens": 4}}) as tab:
        say(tab, "q " * 260)
        tab.keyboard.press("Alt+a")
        tab.get_by_text("the last 512 tokens").wait_for()
        assert tab.locator(".reads .t").count() == 512
