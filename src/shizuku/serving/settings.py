"""What the server listens on, whom it lets in, and how much it takes."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from shizuku.errors import ConfigError

Overflow = Literal["refuse", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """Address, keys and limits of one server."""

    host: str = "127.0.0.1"
    """Address to listen on; any other than this machine's own loopback needs an API key."""
    port: int = 8080
    """Port to listen on; 0 takes a free one and says which."""
    max_body_bytes: int = 4_000_000
    """Longest request body in bytes."""
    max_waiting: int = 64
    """Most requests that wait for their turn; further ones are told to come back (429)."""
    max_running: int = 16
    """Most sequences that are continued at once."""
    max_choices: int = 16
    """Most continuations of one request: prompts times `n`."""
    request_seconds: float = 600.0
    """Longest time for one request, its waiting included; what was made until then is given."""
    body_seconds: float = 30.0
    """Longest time for a request's head, and again for its body, to arrive."""
    stall_seconds: float = 60.0
    """Longest time that a client may leave a stream unread."""
    drain_seconds: float = 10.0
    """How long running answers may go on after the server was told to stop."""
    overflow: Overflow = "refuse"
    """A conversation longer than the window: refuse it, or drop its oldest turns, never the system prompt."""
    cors: tuple[str, ...] = ()
    """Origins of web pages that may call the server from a browser; `*` allows every page."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names under which clients may address a server that listens on the loopback."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port}: expected 0 to 65535 (0: any free one)")
        for name in ("max_body_bytes", "max_waiting", "max_running", "max_choices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected at least 1")
        for name in ("request_seconds", "body_seconds", "stall_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)}: expected above 0")
        if not 0 <= self.drain_seconds < float("inf"):
            raise ConfigError(f"--drain-seconds {self.drain_seconds}: expected 0 or more")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address or `localhost` is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
