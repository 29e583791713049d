"""Who is let in, before any route is asked: names, pages, keys; and what is known of every exchange."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shizuku.serving.faults import ApiError
from shizuku.serving.metrics import Metrics
from shizuku.serving.settings import ServerSettings, is_loopback

OPEN_PATHS = frozenset({"/health", "/openapi.json"})
"""What needs no key, besides the web page's own files."""


class Keys:
    """API keys, compared in a time that does not depend on how much of one is right."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def owner(self, authorization: str | None) -> str | None:
        """A name for whoever sent this `Authorization` header, None if they have no key of ours."""
        scheme, _, key = (authorization or "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        # Every key is compared, so that time does not tell which one came close either.
        right = [hmac.compare_digest(digest, known) for known in self._digests]
        return digest.hex()[:16] if any(right) and scheme.lower() == "bearer" else None


class Guard:
    """An ASGI application around another that refuses who may not come in, and measures the rest."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ServerSettings,
        keys: Sequence[str],
        metrics: Metrics,
        routes: Collection[str],
        page_paths: Collection[str],
        interrupt: Callable[[], None],
    ) -> None:
        """`interrupt` ends the answers that still go on; `routes` are the paths that metrics tell apart,
        `page_paths` the files that need no key."""
        self._app, self.settings, self._metrics = app, settings, metrics
        self._routes, self._open = frozenset(routes), OPEN_PATHS | frozenset(page_paths)
        self._keys = Keys(keys)
        self.interrupt, self.draining = interrupt, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path, status = scope["path"], 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            try:
                await asyncio.wait_for(send(message), self.settings.stall_seconds)
            except TimeoutError:
                # Closing would wait for the unread rest to be read; nobody does.
                scope.get("state", {}).get("abort", lambda: None)()
                raise

        begun = time.monotonic()
        self._metrics.in_flight.inc()
        try:
            refusal = self.refusal(scope)
            if refusal is None:
                await self._app(scope, receive, sending)
            else:
                await refusal.response()(scope, receive, sending)
        except TimeoutError:
            status = status or 408
            await _gone(receive)
        finally:
            self._metrics.in_flight.dec()
            route = path if path in self._routes else "other"
            self._metrics.answered(route, status, time.monotonic() - begun)

    def refusal(self, scope: Scope) -> ApiError | None:
        """Why this request may not come in, if so."""
        headers = Headers(scope=scope)
        if self.draining:
            return ApiError(
                503,
                "The server is shutting down.",
                code="shutting_down",
                headers={"Retry-After": "5", "Connection": "close"},
            )
        return self._wrong_host(headers) or self._wrong_page(headers) or self._no_key(scope, headers)

    def _wrong_host(self, headers: Headers) -> ApiError | None:
        """A page elsewhere can make its own name point to this machine; the name gives it away."""
        host = host_of(headers.get("host", ""))
        settings = self.settings
        if not settings.loopback or not host or is_loopback(host):
            return None
        if host in {name.lower() for name in (settings.host, *settings.allowed_hosts)}:
            return None
        return ApiError(
            403,
            f"The server is not called {host[:100]!r}; --allowed-hosts adds names.",
            code="host_not_allowed",
        )

    def _wrong_page(self, headers: Headers) -> ApiError | None:
        """Browsers let any page send a form to this machine: only ours, and those named, may."""
        origin = headers.get("origin")
        if origin is None or "*" in self.settings.cors or origin in self.settings.cors:
            return None
        with suppress(ValueError):  # of what is no address, which then is not ours
            if urlsplit(origin).netloc.lower() == headers.get("host", "").lower():
                return None
        return ApiError(
            403, f"Pages from {origin[:100]!r} may not use the server; --cors allows them.",
            code="origin_not_allowed",
        )  # fmt: skip

    def _no_key(self, scope: Scope, headers: Headers) -> ApiError | None:
        if not self._keys or scope["path"] in self._open or scope["method"] == "OPTIONS":
            return None
        owner = self._keys.owner(headers.get("authorization"))
        if owner is None:
            return ApiError(
                401,
                "No valid API key was given: send it as `Authorization: Bearer KEY`.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scope.setdefault("state", {})["client"] = owner
        return None


def host_of(given: str) -> str:
    """The name in a Host header, without its port, in small letters."""
    host = given.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0].strip("[]")
    return host.rpartition(":")[0] if ":" in host else host


async def _gone(receive: Receive) -> None:
    """Wait until the server has noticed that the connection is closed, for a moment at most."""
    message: Any = {}
    while message.get("type") != "http.disconnect":
        try:
            message = await asyncio.wait_for(receive(), 1.0)
        except TimeoutError:
            return
