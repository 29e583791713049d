"""What a server serves, where it listens, whom it lets in, and how much it takes."""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError
from shizuku.inference.engine_settings import EngineSettings

KEY_VARIABLE = "SHIZUKU_API_KEY"
SHORTEST_KEY = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings(VerbConfig):
    """Serve models over OpenAI's API, with a web page to talk to them; ready when GET /health answers 200.

    Without MODEL it serves smollm2-135m-instruct (pulls 93 MB once).
    """

    models: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names, checkpoint directories, Hugging Face directories or .gguf files; NAME=MODEL gives a name."""
    m: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-m"])] = ()
    """Models again, for fingers that type `-m MODEL`."""
    adapter: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=DIR [NAME=DIR ...]")] = ()
    """Adapters beside the model, which requests choose by NAME as their `model`; DIR alone names itself."""
    another_base: bool = False
    """Take adapters that were trained on another base than the model, say on its unpacked form."""
    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own loopback needs an API key."""
    port: int = 8080
    """Port to listen on; 0 takes a free one and says which."""
    api_key: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY [KEY ...]")] = field(
        default=(), repr=False
    )
    """Keys that clients must come with. Others here can see flags: SHIZUKU_API_KEY or a file is better."""
    api_key_file: Path | None = None
    """A file with a key on each line."""
    context: Annotated[int | None, tyro.conf.arg(aliases=["-c"])] = None
    """Window in tokens; none: each model's own."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Threads to compute with; none: as many as there are processors."""
    overflow: Literal["refuse", "drop"] = "refuse"
    """A conversation longer than the window: refuse it, or drop its oldest turns, never the system prompt."""
    running: int = 16
    """Most sequences of a model that are continued at once."""
    waiting: int = 64
    """Most sequences of a model that wait for their turn; further ones are told to come back (429)."""
    waiting_per_client: int | None = None
    """Most sequences of one client (its `user`, key or address) that wait; none: as many as of all."""
    cache_tokens: int | None = None
    """Most tokens that a model's cache holds, all sequences together; none: two windows or 16,384 tokens,
    but a quarter of the memory at most."""
    speculative_tokens: int = 0
    """Most tokens that are guessed ahead for one sequence in a step; 0: none. The text stays the same."""
    max_choices: int = 64
    """Most continuations of one request: prompts times `n`."""
    max_body_bytes: int = 4_000_000
    """Longest request body in bytes."""
    request_seconds: float = 600.0
    """Longest time for one request, its waiting included; what was made until then is given."""
    body_seconds: float = 30.0
    """Longest time for a request's head, and again for its body, to arrive."""
    stall_seconds: float = 60.0
    """Longest time that a client may leave an answer unread."""
    drain_seconds: float = 10.0
    """How long running answers may go on after the server was told to stop."""
    cors: tuple[str, ...] = ()
    """Origins of other web pages that may use the server, such as http://localhost:3000; `*`: every page."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names by which clients may call a server that listens on the loopback (behind a proxy)."""
    dry_run: bool = False
    """Check the models, the address and the key, and end."""

    def __post_init__(self) -> None:
        """Check each setting by itself; ConfigError names the flag."""
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port}: expected 0 to 65535 (0: any free one)")
        for name in ("max_choices", "max_body_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{_flag(name)} {getattr(self, name)}: expected at least 1")
        for name in ("request_seconds", "body_seconds", "stall_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{_flag(name)} {getattr(self, name)}: expected a number above 0")
        if not 0 <= self.drain_seconds < float("inf"):
            raise ConfigError(f"--drain-seconds {self.drain_seconds}: expected 0 or more")
        check_threads(self.threads)
        self.engine()

    def engine(self) -> EngineSettings:
        """The settings of each model's engine; ConfigError for an impossible one."""
        return EngineSettings(
            running=self.running,
            waiting=self.waiting,
            waiting_per_client=self.waiting_per_client,
            cache_tokens=self.cache_tokens,
            speculative_tokens=self.speculative_tokens,
        )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def keys(self) -> tuple[str, ...]:
        """The keys from the flag, the file and SHIZUKU_API_KEY.

        ConfigError for one that is too short or can't be sent, for a file without any, and where there is
        none though others than this machine could reach the server.
        """
        found = [*self.api_key, *self._keys_of_file()]
        if os.environ.get(KEY_VARIABLE):
            found.append(os.environ[KEY_VARIABLE])
        for key in found:
            if len(key) < SHORTEST_KEY or not (key.isascii() and key.isprintable()) or " " in key:
                raise ConfigError(
                    f"an API key (--api-key, --api-key-file, {KEY_VARIABLE}) has at least {SHORTEST_KEY} "
                    "printable ASCII characters and no blanks; `python -c 'import secrets; "
                    "print(secrets.token_urlsafe())'` makes one"
                )
        if not found and not self.loopback:
            raise ConfigError(
                f"--host {self.host}: others could reach the server, so it needs a key: give --api-key-file "
                f"or {KEY_VARIABLE}, or listen on 127.0.0.1"
            )
        return tuple(found)

    def _keys_of_file(self) -> list[str]:
        if self.api_key_file is None:
            return []
        try:
            lines = self.api_key_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--api-key-file {self.api_key_file} can't be read: {error}") from error
        keys = [line.strip() for line in lines if line.strip()]
        if not keys:
            raise ConfigError(f"--api-key-file {self.api_key_file} holds no key: write one on each line")
        return keys


def is_loopback(host: str) -> bool:
    """Whether an address or `localhost` is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
