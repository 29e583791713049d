"""Who is let in, and what the server takes: each refusal with its reason, and nothing left behind."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import openai
import pytest
from live_server import Live, endless, idle, running
from pydantic import ValidationError

from shizuku.errors import ConfigError
from shizuku.serving.schemas import CompletionRequest
from shizuku.serving.settings import ServerSettings
from tiny_language_model import tiny_lm

KEY, OTHER_KEY = "a-key-of-ours", "another-key"
HELLO = [{"role": "user", "content": "The cat"}]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A server with short patience."""
    limits = {"body_seconds": 0.6, "stall_seconds": 0.8, "max_body_bytes": 20_000, "max_choices": 4}
    with running({"tiny": tiny_lm(context=4096)}, waiting=2, running=2, **limits) as found:
        yield found


@pytest.fixture(scope="module")
def locked() -> Iterator[Live]:
    """A server that wants a key."""
    with running({"tiny": tiny_lm()}, keys=(KEY, OTHER_KEY), cors=("http://friend.example",)) as found:
        yield found


def raw(live: Live, data: bytes, *, seconds: float = 5.0) -> bytes:
    """Everything that comes back for these bytes, until the server closes or so many seconds are over."""
    with closing(socket.create_connection(live.address, timeout=seconds)) as connection:
        answer = b""
        try:
            connection.sendall(data)
            while part := connection.recv(65536):
                answer += part
        except (ConnectionResetError, BrokenPipeError):
            pass  # closed while we were still writing
        return answer


def request(
    body: bytes, *, path: str = "/v1/completions", headers: str = "", length: int | None = None
) -> bytes:
    length = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n"
    return head.encode() + headers.encode() + b"\r\n" + body


# ---- keys, names, pages


def test_without_a_key_only_health_and_the_document_are_open(locked: Live) -> None:
    for path in ("/health", "/openapi.json"):
        assert locked.get(path).status == 200
    for path in ("/v1/models", "/metrics", "/shizuku/status", "/nothing"):
        refused = locked.get(path)
        assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
        assert refused.headers["www-authenticate"] == "Bearer"
    for key in ("wrong", KEY[:-1], KEY + "x", ""):
        assert locked.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status == 401
    assert locked.get("/v1/models", headers={"Authorization": f"Basic {KEY}"}).status == 401
    with pytest.raises(openai.AuthenticationError):
        locked.client("wrong").models.list()
    for key in (KEY, OTHER_KEY):
        assert [model.id for model in locked.client(key).models.list()] == ["tiny"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("evil.example:80", 403),
    ],
)
def test_only_names_of_this_machine_reach_the_loopback(live: Live, host: str, status: int) -> None:
    found = live.get("/v1/models", headers={"Host": host})
    assert found.status == status
    assert status == 200 or found.error["code"] == "host_not_allowed"


def test_pages_from_elsewhere_may_not_use_the_server(live: Live, locked: Live) -> None:
    body = {"model": "tiny", "prompt": "A", "max_tokens": 1}
    foreign = live.post("/v1/completions", body, headers={"Origin": "http://evil.example"})
    assert (foreign.status, foreign.error["code"]) == (403, "origin_not_allowed")
    nothing = live.post("/v1/completions", body, headers={"Origin": "http://["})
    assert (nothing.status, nothing.error["code"]) == (403, "origin_not_allowed")
    own = live.post("/v1/completions", body, headers={"Origin": live.url})
    assert own.status == 200 and "access-control-allow-origin" not in own.headers
    asked = {
        "Origin": "http://friend.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = locked.ask("OPTIONS", "/v1/completions", headers=asked)
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (
        200,
        "http://friend.example",
    )
    asked = {"Origin": "http://friend.example", "Authorization": f"Bearer {KEY}"}
    allowed = locked.post("/v1/completions", body, headers=asked)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "http://friend.example")


def test_keys_are_asked_for_where_others_can_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHIZUKU_API_KEY", raising=False)
    for host in ("0.0.0.0", "192.0.2.1", "::", "example.org"):
        with pytest.raises(ConfigError, match="others could reach the server, so it needs a key"):
            ServerSettings(host=host).keys()
    for host in ("127.0.0.1", "localhost", "::1", "127.8.9.10"):
        assert ServerSettings(host=host).keys() == ()
    file = tmp_path / "keys"
    file.write_text("first-of-file\n\nsecond-of-file\n")
    monkeypatch.setenv("SHIZUKU_API_KEY", "from-the-environment")
    found = ServerSettings(host="0.0.0.0", api_key=("from-a-flag",), api_key_file=file).keys()
    assert found == ("from-a-flag", "first-of-file", "second-of-file", "from-the-environment")
    for bad in ("short", "with a blank", "with-ö-in-it"):
        with pytest.raises(ConfigError, match="at least 8 printable ASCII"):
            ServerSettings(api_key=(bad,)).keys()
    file.write_text("\n")
    with pytest.raises(ConfigError, match="holds no key"):
        ServerSettings(api_key_file=file).keys()


# ---- what can't be read


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 900_000 + b"\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
def test_what_is_no_http_is_answered_and_closed(live: Live, data: bytes) -> None:
    head, _, body = raw(live, data).partition(b"\r\n\r\n")
    if head or len(data) < 100_000:
        assert head.startswith(b"HTTP/1.1 400"), head
        assert json.loads(body)["error"]["message"]
    assert live.get("/health").status == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"prompt": "a"', "not JSON"),
        (b'{"prompt": "a", "temperature": NaN}', "temperature"),
        (b'{"prompt": "a", "temperature": 1e999}', "temperature"),
        (b"[" * 10_000, "not JSON"),
        (b'{"prompt": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "not JSON"),
        (b'{"prompt": "\\ud800"}', "not JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'{"prompt": "a", "max_tokens": 1' + b"0" * 500 + b"}", "max_tokens"),
    ],
)
def test_what_is_no_request_is_refused(live: Live, body: bytes, said: str) -> None:
    refused = live.post("/v1/completions", body)
    assert refused.status == 400, refused.data
    assert said in refused.error["message"]


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": None}, "messages", "invalid_value"),
        ({"messages": [{"role": "alien", "content": "a"}]}, "messages.0.role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "invalid_value"),
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"temperature": "warm"}, "temperature", "invalid_value"),
        ({"top_p": 1.1}, "top_p", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": 5}, "n", "invalid_value"),
        ({"n": 1.5}, "n", "invalid_value"),
        ({"max_tokens": -1}, "max_tokens", "invalid_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"stop": ["a"] * 17}, "stop", "invalid_value"),
        ({"logit_bias": {"99999": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"-1": 1}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5", "invalid_value"),
        ({"top_logprobs": 3}, "top_logprobs", "invalid_value"),
        ({"stream_options": {}}, "stream_options", "invalid_value"),
        ({"functions": []}, "functions", "unknown_parameter"),
        ({"audio": {"voice": "a"}}, "audio", "unknown_parameter"),
        ({"modalities": ["text", "audio"]}, "modalities.1", "invalid_value"),
        ({"model": "other"}, "model", "model_not_found"),
        ({"tool_choice": "auto"}, "tool_choice", "invalid_value"),
    ],
)
def test_a_refusal_names_the_parameter(live: Live, changes: dict[str, object], param: str, code: str) -> None:
    refused = live.post("/v1/chat/completions", {"messages": HELLO, **changes})
    assert refused.status == (404 if code == "model_not_found" else 400)
    assert refused.error["param"].startswith(param), refused.error
    assert refused.error["code"] == code


def test_what_a_completion_can_not_do_is_refused(live: Live) -> None:
    for more, param in (
        ({"suffix": "b"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [99_999]}, "prompt"),
        ({"prompt": ["a"] * 5}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": [5] * 4096}, "prompt"),
    ):
        refused = live.post("/v1/completions", {"prompt": "a", **more})
        assert refused.status == 400 and refused.error["param"].startswith(param), refused.data
    assert refused.error["code"] == "context_length_exceeded"
    neutral = {"suffix": "", "best_of": 1, "user": "u"}
    assert live.post("/v1/completions", {"prompt": "a", "max_tokens": 1, **neutral}).status == 200


def test_a_conversation_longer_than_the_window_is_refused_or_loses_its_oldest_turns() -> None:
    turn = {"role": "user", "content": "The cat sat on the mat and looked at the rain."}
    answer = {"role": "assistant", "content": "A boat."}
    long = [{"role": "system", "content": "Be kind."}, *[turn, answer] * 12, turn]
    body = {"messages": long, "max_tokens": 3, "temperature": 0}
    with running({"tiny": tiny_lm()}) as live:
        refused = live.post("/v1/chat/completions", body)
        assert (refused.status, refused.error["code"]) == (400, "context_length_exceeded")
        assert "maximum context length is 128 tokens" in refused.error["message"]
    with running({"tiny": tiny_lm()}, overflow="drop") as live:
        given = live.post("/v1/chat/completions", body).json()
        assert given["usage"]["prompt_tokens"] <= 128 - 3
        assert given["choices"][0]["message"]["content"] == tiny_lm().respond(long, max_new_tokens=3).content


# ---- too much, too slow


def test_a_body_is_refused_before_it_is_held(live: Live) -> None:
    announced = raw(live, request(b"{", length=10**12))
    assert announced.startswith(b"HTTP/1.1 413")
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    begun = time.monotonic()
    assert raw(live, head + chunk * 2).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - begun < 3  # and the connection is not kept for a body without an end


def test_slow_heads_and_bodies_are_given_up(live: Live) -> None:
    begun = time.monotonic()
    for data in (b"POST /v1/comp", request(b'{"prompt', length=100)):
        assert raw(live, data).startswith(b"HTTP/1.1 408")
    assert raw(live, b"").startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begun < 4
    # Bytes that trickle do not extend the time.
    with closing(socket.create_connection(live.address, timeout=5)) as connection:
        begun = time.monotonic()
        answer = b""
        connection.settimeout(0.1)
        while not answer and time.monotonic() - begun < 3:
            connection.sendall(b"X")
            try:
                answer = connection.recv(1000)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408") and time.monotonic() - begun < 2


def test_time_for_a_request_ends_it_with_what_there_is() -> None:
    with running({"tiny": tiny_lm(context=4096)}, request_seconds=0.5) as live:
        given = live.post("/v1/completions", {"prompt": "The cat", **endless()}).json()
        assert given["choices"][0]["finish_reason"] == "length"
        assert 1 <= given["usage"]["completion_tokens"] < 4000
        assert given["choices"][0]["text"]
        assert idle(live)


@pytest.mark.parametrize("items", ["0.5", "[]", "{}", "null"])
def test_a_list_of_many_wrong_items_is_one_error(items: str) -> None:
    body = '{"prompt": [' + ",".join([items] * 200_000) + "]}"
    begun = time.perf_counter()
    with pytest.raises(ValidationError) as found:
        CompletionRequest.model_validate_json(body)
    assert found.value.error_count() < 20 and time.perf_counter() - begun < 3
