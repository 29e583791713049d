"""A whole server in this process, on a free port of the loopback."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import openai

from shizuku.language_model import LanguageModel
from shizuku.serving.app import build
from shizuku.serving.guard import Guard
from shizuku.serving.served import Registry, ServedModel
from shizuku.serving.server import Server, listening, server_for, url_of
from shizuku.serving.settings import ServerSettings
from shizuku.serving.starting import adapters_of
from tiny_language_model import tokenizer


@dataclass(frozen=True)
class Live:
    """A running server."""

    url: str
    guard: Guard
    server: Server
    models: Registry

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def client(self, key: str = "none", **settings: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0, timeout=30, **settings)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> "Reply":
        """One request on a connection of its own; `body` is JSON unless it is bytes already."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any = None, **more: Any) -> "Reply":
        return self.ask("POST", path, body, **more)

    def get(self, path: str, **more: Any) -> "Reply":
        return self.ask("GET", path, **more)


def idle(live: Live, seconds: float = 5.0) -> bool:
    """Whether everything that is under way ends within so many seconds, its cache blocks included."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = [model.engine.statistics() for model in live.models]
        if all(one.running == one.waiting == one.blocks_used == 0 for one in found):
            return True
        time.sleep(0.02)
    return False


def endless() -> dict[str, Any]:
    """Fields of a request that goes on until somebody ends it, for a model with a long window."""
    never = {str(token): -100 for token in tokenizer().stop_ids}
    return {"max_tokens": 4000, "logit_bias": never, "temperature": 0}


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def error(self) -> Any:
        """The error, whose shape is OpenAI's."""
        found = self.json()["error"]
        assert set(found) == {"message", "type", "param", "code"}, found
        assert found["message"]
        return found


@contextmanager
def running(lms: Mapping[str, LanguageModel], keys: tuple[str, ...] = (), **flags: Any) -> Iterator[Live]:
    """Serve the models until the `with` ends; adapters among the flags are for the last one."""
    settings = ServerSettings(port=0, **{"drain_seconds": 2.0, **flags})
    served = [
        ServedModel(name, LanguageModel(lm.runtime, lm.tokenizer, engine=settings.engine(), path=lm.path))
        for name, lm in lms.items()
    ]
    registry = Registry([*served, *adapters_of(served[-1], settings)])
    for model in registry:
        model.engine.start()
    guard = build(registry, settings, keys)
    ready = threading.Event()
    server = server_for(guard, ready.set)
    with listening(settings) as taken:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
        thread.start()
        assert ready.wait(20), "the server did not start"
        try:
            yield Live(url_of(taken), guard, server, registry)
        finally:
            server.should_exit = True
            thread.join(20)
            for model in registry:
                model.engine.close()
    assert not thread.is_alive(), "the server did not end"
