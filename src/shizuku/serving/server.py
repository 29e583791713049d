"""The process: sockets, signals, and the end of it."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn

from shizuku.errors import ConfigError
from shizuku.serving.settings import ServerSettings

BACKLOG = 128


def listening(settings: ServerSettings) -> socket.socket:
    """A socket that listens as the settings say; ConfigError where it can't."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {settings.host}: no such address ({error})") from error
    family, kind, protocol, _, address = found[0]
    taken = socket.socket(family, kind, protocol)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(BACKLOG)
    except OSError as error:
        taken.close()
        raise ConfigError(
            f"can't listen on {settings.host} port {settings.port}: {error.strerror}. Give another "
            "--port (0 takes a free one) or --host"
        ) from error
    taken.setblocking(False)
    return taken


def url_of(taken: socket.socket) -> str:
    """The address as a client writes it."""
    host, port = taken.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


class Server(uvicorn.Server):
    """A server that ends when it is told to: once, after its answers; twice, at once."""

    def __init__(self, config: uvicorn.Config, on_ready: Any) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, then say so."""
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear SIGTERM and SIGINT; being told to end is no failure, so the exit code stays 0."""
        before = {which: signal.signal(which, self.told) for which in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)

    def told(self, which: int, frame: FrameType | None) -> None:
        """End: gracefully the first time, at once the second."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def serve(app: Any, taken: socket.socket, settings: ServerSettings, on_ready: Any) -> None:
    """Answer on the socket until told to end."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
        timeout_keep_alive=30,
    )
    Server(config, on_ready).run(sockets=[taken])
