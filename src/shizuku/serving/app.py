"""The application: routes over the models of one server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from shizuku.errors import ConfigError, ModelError, TokenizerError
from shizuku.serving import inspection
from shizuku.serving.answering import Answering
from shizuku.serving.chat import prepare_chat
from shizuku.serving.chat_answer import Chat
from shizuku.serving.completions import Completion, prepare_completion
from shizuku.serving.embeddings import embed
from shizuku.serving.events import ClientGoneError, EventStream, while_there
from shizuku.serving.faults import ApiError, from_validation
from shizuku.serving.guard import Guard
from shizuku.serving.metrics import Metrics
from shizuku.serving.schemas import (
    AttentionRequest,
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    TokenizeRequest,
)
from shizuku.serving.served import Registry
from shizuku.serving.settings import ServerSettings

PAGE = Path(__file__).parent / "page"
PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'; img-src 'self' data:"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # its modules belong together: browsers ask whether they are the same
}
AnyBody = TypeVar("AnyBody", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]


class Service:
    """The handlers of one server, over what they share."""

    def __init__(self, models: Registry, settings: ServerSettings) -> None:
        self.models, self.settings = models, settings
        self.metrics = Metrics(models)
        self._open: set[Answering] = set()

    def interrupt(self) -> None:
        """End every answer that still goes on with an error that says why."""
        for answering in self._open:
            answering.interrupt(
                ApiError(503, "The server is shutting down before this was done.", code="shutting_down")
            )

    async def health(self, request: Request) -> Response:
        """Whether the server is there, and each of its models at work."""
        for model in self.models:
            if model.engine.problem is not None:
                raise ApiError(503, f"The model {model.name!r} has stopped.", code="engine_stopped")
        return JSONResponse({"status": "ok"})

    async def openapi(self, request: Request) -> Response:
        """What there is, in OpenAPI's form."""
        from shizuku.serving.openapi import document  # takes a moment to make, and few ask

        return JSONResponse(document([model.name for model in self.models]))

    async def prometheus(self, request: Request) -> Response:
        """Counters for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def list_models(self, request: Request) -> Response:
        """The models that are served."""
        return JSONResponse({"object": "list", "data": [model.card() for model in self.models]})

    async def one_model(self, request: Request) -> Response:
        """One of them."""
        return JSONResponse(self.models.find(request.path_params["id"]).card())

    async def chat(self, request: Request) -> Response:
        """The next message of a conversation."""
        body = await read(request, ChatRequest, self.settings)
        model = self.models.find(body.model)
        return await self._answer(
            request, body.stream, await prepare_chat(body, model, self.settings, client_of(request))
        )

    async def completions(self, request: Request) -> Response:
        """The continuation of a text."""
        body = await read(request, CompletionRequest, self.settings)
        model = self.models.find(body.model)
        return await self._answer(
            request, body.stream, await prepare_completion(body, model, self.settings, client_of(request))
        )

    async def embeddings(self, request: Request) -> Response:
        """Vectors of texts."""
        body = await read(request, EmbeddingRequest, self.settings)
        work = embed(body, self.models.find(body.model), self.settings.request_seconds)
        return JSONResponse(await while_there(request, work))

    async def tokenize(self, request: Request) -> Response:
        """Token ids of a text."""
        body = await read(request, TokenizeRequest, self.settings)
        return JSONResponse(await inspection.tokenize(body, self.models.find(body.model)))

    async def detokenize(self, request: Request) -> Response:
        """The text of token ids."""
        body = await read(request, DetokenizeRequest, self.settings)
        return JSONResponse(await inspection.detokenize(body, self.models.find(body.model)))

    async def tokenizer_info(self, request: Request) -> Response:
        """Special tokens and template, of the only model or of `?model=`."""
        model = self.models.find(request.query_params.get("model"))
        return JSONResponse(inspection.tokenizer_info(model))

    async def attention(self, request: Request) -> Response:
        """Where a head looks."""
        body = await read(request, AttentionRequest, self.settings)
        return JSONResponse(await inspection.attention(body, self.models.find(body.model)))

    async def status(self, request: Request) -> Response:
        """Live numbers."""
        return JSONResponse(inspection.status(self.models, self.metrics))

    async def _answer(self, request: Request, stream: bool | None, asked: Chat | Completion) -> Response:
        answering = asked.answering
        answering.begin(self.metrics)
        self._open.add(answering)

        def end() -> None:
            self._open.discard(answering)
            answering.close()

        if stream:
            return EventStream(asked.chunks(), at_end=end)
        try:
            return JSONResponse(await while_there(request, asked.whole()))
        finally:
            end()


async def read(request: Request, form: type[AnyBody], settings: ServerSettings) -> AnyBody:
    """The request's body in its form; ApiError for everything that is wrong with it."""
    longest = settings.max_body_bytes
    announced = request.headers.get("content-length", "")
    too_large = ApiError(413, f"The body is longer than {longest} bytes.", code="body_too_large")
    if announced.isdigit() and int(announced) > longest:
        raise too_large
    data = bytearray()
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for part in request.stream():
                data += part
                if len(data) > longest:
                    raise too_large
    except ClientDisconnect as error:
        raise ClientGoneError from error
    except TimeoutError as error:
        raise ApiError(
            408,
            f"The body did not arrive within {settings.body_seconds:g} seconds.",
            code="request_timeout",
            headers={"Connection": "close"},
        ) from error
    try:
        return form.model_validate_json(bytes(data))
    except ValidationError as error:
        raise from_validation(error) from error


def client_of(request: Request) -> str:
    """Whose turn a request takes where it names no `user`: the key's or else the address's."""
    return request.scope.get("state", {}).get("client") or (request.client.host if request.client else "")


def build(models: Registry, settings: ServerSettings, keys: Sequence[str] = ()) -> Guard:
    """The whole ASGI application; without `keys` everybody who reaches it is let in."""
    service = Service(models, settings)
    routes: list[Any] = [
        Route("/health", service.health, methods=["GET"]),
        Route("/openapi.json", service.openapi, methods=["GET"]),
        Route("/metrics", service.prometheus, methods=["GET"]),
        Route("/v1/models", service.list_models, methods=["GET"]),
        Route("/v1/models/{id:path}", service.one_model, methods=["GET"]),
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/completions", service.completions, methods=["POST"]),
        Route("/v1/embeddings", service.embeddings, methods=["POST"]),
        Route("/tokenize", service.tokenize, methods=["POST"]),
        Route("/tokenizer_info", service.tokenizer_info, methods=["GET"]),
        Route("/detokenize", service.detokenize, methods=["POST"]),
        Route("/shizuku/attention", service.attention, methods=["POST"]),
        Route("/shizuku/status", service.status, methods=["GET"]),
    ]
    paths = {route.path for route in routes}
    if PAGE.is_dir():
        routes.append(Mount("/", _Page(directory=PAGE, html=True)))
    app = Starlette(
        routes=routes,
        exception_handlers={
            ApiError: _api_error,
            ConfigError: _bad_request,
            ModelError: _bad_request,
            TokenizerError: _bad_request,
            HTTPException: _http_error,
            ClientGoneError: _gone,
            Exception: _defect,
        },
    )
    inner: Any = app
    if settings.cors:
        inner = CORSMiddleware(app, allow_origins=settings.cors, allow_methods=["*"], allow_headers=["*"])
    return Guard(
        inner,
        settings=settings,
        keys=keys,
        metrics=service.metrics,
        routes=paths,
        page_paths=page_paths(),
        interrupt=service.interrupt,
    )


def page_paths() -> set[str]:
    """Paths of the web page's files."""
    files = (path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file())
    return {"/", *(f"/{name}" for name in files)}


class _Page(StaticFiles):
    """The web page's files, which may load nothing from elsewhere."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(PAGE_HEADERS)
        return response


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _bad_request(request: Request, error: Exception) -> Response:
    return ApiError(400, str(error)).response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {
        404: f"There is nothing at {request.url.path[:200]}; GET /openapi.json lists what is.",
        405: f"{request.url.path[:200]} does not take {request.method}.",
    }
    fault = ApiError(
        error.status_code, said.get(error.status_code, error.detail), headers=dict(error.headers or {})
    )
    return fault.response()


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _defect(request: Request, error: Exception) -> Response:
    return ApiError(500, "The server failed on this request; its log says how.").response()
