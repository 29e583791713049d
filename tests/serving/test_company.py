"""Many clients at once: none waits for another, and who leaves leaves nothing behind."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import openai
import pytest
from live_server import Live, endless, idle, running

from tiny_language_model import tiny_lm

PROMPTS = ["The cat", "A boat went over the lake", "雨が", "In the town by the sea the baker", "The"]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    limits = {"running": 4, "waiting": 3, "stall_seconds": 1.0}
    with running({"tiny": tiny_lm(context=4096)}, **limits) as found:
        yield found


def begin(live: Live, **body: Any) -> http.client.HTTPResponse:
    """A stream that has begun; closing it is leaving."""
    connection = http.client.HTTPConnection(*live.address, timeout=20)
    data = json.dumps({"prompt": "The cat", "stream": True, **endless(), **body})
    connection.request("POST", "/v1/completions", data)
    answer = connection.getresponse()
    assert answer.status == 200
    answer.readline()
    connection.sock = None  # the response owns the socket alone, so that closing it closes the connection
    return answer


def leave(answer: http.client.HTTPResponse) -> None:
    answer.close()


def promptly(ask: Callable[[], Any], seconds: float = 3.0) -> Any:
    """What `ask` gives, which must not take long."""
    begun = time.monotonic()
    found = ask()
    assert time.monotonic() - begun < seconds
    return found


def test_answers_do_not_depend_on_company(live: Live) -> None:
    client = live.client()

    def ask(number: int) -> str:
        settings = {"temperature": 1.3, "seed": number, "max_tokens": 20 + number}
        if number % 2:
            return (
                client.completions.create(model="tiny", prompt=PROMPTS[number % 5], **settings)
                .choices[0]
                .text
            )
        pieces = client.completions.create(model="tiny", prompt=PROMPTS[number % 5], stream=True, **settings)
        return "".join(piece.choices[0].text for piece in pieces)

    alone = [ask(number) for number in range(7)]
    with ThreadPoolExecutor(7) as pool:
        assert list(pool.map(ask, range(7))) == alone
    assert idle(live)


def test_a_common_beginning_is_read_once(live: Live) -> None:
    body = {"prompt": "The cat sat on the mat and looked at the rain. " * 8, "max_tokens": 1, "seed": 1}
    first, second = (live.post("/v1/completions", body).json() for _ in range(2))
    cached = [one["usage"]["prompt_tokens_details"]["cached_tokens"] for one in (first, second)]
    assert cached[0] < 8 and cached[1] > 0.5 * second["usage"]["prompt_tokens"]
    assert first["choices"] == second["choices"]


def test_a_full_server_says_when_to_come_back(live: Live) -> None:
    with ExitStack() as streams:
        for _ in range(7):  # four at work, three waiting: nobody answers those yet
            connection = socket.create_connection(live.address)
            streams.enter_context(closing(connection))
            data = json.dumps({"prompt": "The cat", "stream": True, **endless()}).encode()
            head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data)
        full = lambda: next(iter(live.models)).engine.statistics().waiting == 3  # noqa: E731
        assert wait_for(full)
        refused = live.post("/v1/completions", {"prompt": "a", "max_tokens": 1})
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 600
        with pytest.raises(openai.RateLimitError):
            live.client().completions.create(model="tiny", prompt="a", max_tokens=1)
        # A request with too many choices leaves none of them behind.
        assert live.post("/v1/completions", {"prompt": "a", "max_tokens": 1, "n": 2}).status == 429
        assert live.get("/health").status == live.get("/v1/models").status == 200
    assert idle(live)
    assert live.post("/v1/completions", {"prompt": "a", "max_tokens": 1}).status == 200


def wait_for(found: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not found() and time.monotonic() < until:
        time.sleep(0.01)
    return found()


def test_who_leaves_stops_the_model(live: Live) -> None:
    leave(begin(live))
    assert idle(live)
    leave(begin(live, n=3))
    assert idle(live)
    # Without a stream as well.
    data = json.dumps({"prompt": "The cat", **endless()}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
    with closing(socket.create_connection(live.address)) as connection:
        connection.sendall(head.encode() + data)
        assert wait_for(lambda: not idle(live, 0.01))
    assert idle(live)
    ended = next(iter(live.models)).engine.statistics().ended
    assert ended["cancelled"] >= 5 and "error" not in ended


def test_long_texts_let_others_pass_and_end_with_their_client(live: Live) -> None:
    ids = [[5 + n] * 4000 for n in range(200)]
    with ExitStack() as clients:
        for _ in range(2):
            connection = clients.enter_context(closing(socket.create_connection(live.address)))
            data = json.dumps({"input": ids}).encode()
            head = f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data)
        assert wait_for(lambda: not idle(live, 0.01))
        promptly(lambda: live.post("/v1/completions", {"prompt": "a", "max_tokens": 3}))
    assert idle(live)
    assert promptly(lambda: live.post("/v1/embeddings", {"input": "The cat"})).status == 200


def test_who_does_not_read_holds_nobody_up_and_is_given_up(live: Live) -> None:
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(live.address)
        data = json.dumps({"prompt": "The cat", "stream": True, "logprobs": 20, **endless()}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        assert wait_for(lambda: not idle(live, 0.01))
        for _ in range(3):
            given = promptly(lambda: live.post("/v1/completions", {"prompt": "a", "max_tokens": 3}))
            assert given.status == 200
        assert wait_for(lambda: idle(live, 0.01), 20)
        connection.settimeout(5)
        rest = b""
        while part := connection.recv(1 << 20):  # ends, as the server has closed
            rest += part
        assert b"[DONE]" not in rest


def test_short_requests_pass_long_ones(live: Live) -> None:
    streams = [begin(live) for _ in range(2)]
    try:
        promptly(lambda: live.post("/v1/completions", {"prompt": "a", "max_tokens": 3}))
        found = promptly(lambda: live.post("/v1/embeddings", {"input": "The cat"}))
        assert found.status == 200
        found = promptly(lambda: live.post("/shizuku/attention", {"text": "The cat"}))
        assert found.status == 200
        assert len(streams[0].readline()) > 0
    finally:
        for stream in streams:
            leave(stream)
    assert idle(live)


def test_a_time_is_shared_between_users() -> None:
    order: list[str] = []
    with running({"tiny": tiny_lm()}, running=1) as live:

        def ask(user: str) -> None:
            live.post("/v1/completions", {"prompt": "a", "max_tokens": 40, "user": user, "seed": 1})
            order.append(user)

        threads = []
        for user in ["many"] * 6 + ["one"]:
            threads.append(threading.Thread(target=ask, args=(user,)))
            threads[-1].start()
            time.sleep(0.01)
        for thread in threads:
            thread.join()
    assert order.index("one") < 4, order


def test_a_prompt_with_several_answers_was_kept_once(live: Live) -> None:
    body = {"prompt": "A long beginning that all of the answers share with one another. " * 6, "n": 4}
    usage = live.post("/v1/completions", {**body, "max_tokens": 1}).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]
