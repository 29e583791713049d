"""What the web page says when something goes wrong, and how one gets on from there."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from live_server import Live, running
from web_page import FAULTS, answered, kept, last, opened, say

from tiny_language_model import tiny_lm

CHAT = "**/v1/chat/completions"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with running({"tiny": tiny_lm(context=96)}) as found:
        yield found


def send(tab: Any, text: str = "The cat.") -> None:
    tab.fill("#question", text)
    tab.press("#question", "Enter")


def test_a_full_server_is_tried_again_after_the_time_it_names(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url) as tab:
        body = json.dumps(
            {"error": {"message": "64 requests wait", "type": "rate_limit_error", "code": None}}
        )
        asked: list[str] = []

        def refuse_once(route: Any) -> None:
            asked.append(route.request.url)
            if len(asked) > 1:
                route.continue_()
            else:
                route.fulfill(
                    status=429, body=body, headers={"Retry-After": "2", "Content-Type": "application/json"}
                )

        tab.route(CHAT, refuse_once)
        send(tab)
        tab.locator(".notice.fault", has_text="The server is full.").wait_for()
        tab.get_by_text("Trying again in 2 s.").wait_for()
        assert tab.locator(".turn").count() == 1
        tab.get_by_text("Trying again in 1 s.").wait_for()
        last(tab).locator(".figures").wait_for()
        assert len(asked) == 2
        assert tab.locator(".notice").count() == 0
        assert [turn["role"] for turn in kept(tab, "turns")] in (["user", "assistant"], ["assistant", "user"])


def test_waiting_can_be_given_up(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url) as tab:
        tab.route(CHAT, lambda route: route.fulfill(status=503, body="{}", headers={"Retry-After": "60"}))
        send(tab)
        tab.get_by_text("Trying again in 60 s.").wait_for()
        assert tab.evaluate(FAULTS) == []
        tab.keyboard.press("Escape")
        tab.locator(".notice").wait_for(state="detached")
        assert tab.locator("body.is-writing").count() == 0


def test_a_broken_stream_keeps_what_came(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url) as tab:
        chunk = {"choices": [{"index": 0, "delta": {"content": "Half an ans"}, "finish_reason": None}]}
        tab.route(
            CHAT,
            lambda route: route.fulfill(
                body=f"data: {json.dumps(chunk)}\n\n", content_type="text/event-stream"
            ),
            times=1,
        )
        send(tab)
        tab.locator(".notice.fault", has_text="The connection broke off.").wait_for()
        assert last(tab).locator(".prose").inner_text() == "Half an ans"
        tab.get_by_role("button", name="Try again").click()
        last(tab).locator(".branches").wait_for()
        answered(tab)
        last(tab).get_by_role("button", name="Previous version").click()
        assert last(tab).locator(".prose").inner_text() == "Half an ans"


def test_a_conversation_that_no_longer_fits(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url, locale="ja-JP") as tab:
        send(tab, "雨が降っています。" * 40)
        notice = tab.locator(".notice.fault", has_text="一度に読める範囲を超えました")
        notice.wait_for()
        assert "96" in notice.inner_text()
        notice.get_by_role("button", name="新しい会話").click()
        assert tab.locator(".turn").count() == 0


def test_a_request_that_is_refused_says_why(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url, {"sampling": {"temperature": 500}}) as tab:
        send(tab)
        notice = tab.locator(".notice.fault")
        notice.wait_for()
        assert "temperature" in notice.inner_text()
        assert tab.locator(".turn.assistant").count() == 0


def test_a_server_that_is_gone_and_comes_back(chromium: Any, live: Live) -> None:
    with opened(chromium, live.url) as tab:
        tab.route(CHAT, lambda route: route.abort("connectionrefused"), times=1)
        send(tab)
        tab.locator(".notice.fault", has_text="The server isn't answering.").wait_for()
        tab.get_by_text("The server is back.").wait_for()
        tab.get_by_role("button", name="Try again").click()
        last(tab).locator(".figures").wait_for()


def test_a_key_is_asked_for_and_kept_only_on_request(chromium: Any) -> None:
    with running({"tiny": tiny_lm()}, keys=("right",)) as live, opened(chromium, live.url) as tab:
        tab.locator(".notice.fault", has_text="asks for an API key").wait_for()
        assert tab.evaluate("document.activeElement.id") == "api-key"
        tab.fill("#api-key", "wrong")
        tab.press("#api-key", "Enter")
        tab.locator(".notice.fault", has_text="didn't accept").wait_for()
        tab.fill("#api-key", "right")
        tab.press("#api-key", "Enter")
        tab.locator("#only-model", has_text="tiny").wait_for()
        say(tab, "The cat.")
        last(tab).locator(".figures").wait_for()
        assert "right" not in tab.evaluate("JSON.stringify(localStorage)")
