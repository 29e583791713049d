"""The server's own OpenAPI document, made from the forms that requests are read with."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shizuku import __version__
from shizuku.serving import answers, schemas

Operation = dict[str, Any]

POSTS: Sequence[tuple[str, str, type[BaseModel], type[BaseModel]]] = (
    ("/v1/chat/completions", "The next message.", schemas.ChatRequest, answers.ChatAnswer),
    ("/v1/completions", "The text that follows.", schemas.CompletionRequest, answers.CompletionAnswer),
    ("/v1/embeddings", "Vectors of texts.", schemas.EmbeddingRequest, answers.EmbeddingAnswer),
    ("/tokenize", "Token ids of a text or a conversation.", schemas.TokenizeRequest, answers.Tokens),
    ("/detokenize", "The text of token ids.", schemas.DetokenizeRequest, answers.Text),
    ("/shizuku/attention", "Where a head looks.", schemas.AttentionRequest, answers.Attention),
)
GETS: Sequence[tuple[str, str, type[BaseModel]]] = (
    ("/health", "200 as soon as the server answers.", answers.Health),
    ("/v1/models", "The models that are served.", answers.Models),
    ("/tokenizer_info", "Special tokens and template of the one model.", answers.TokenizerInfo),
    ("/shizuku/status", "Live numbers.", answers.Status),
)
FAULTS = {
    "400": "Something in the request can't be.",
    "401": "No valid API key.",
    "403": "Under another name, or from another page, than the server allows.",
    "404": "No such model.",
    "408": "The request did not arrive in time.",
    "413": "The body is too long.",
    "429": "The server is full; Retry-After says when to come back.",
    "500": "The server failed.",
    "503": "The server or a model has stopped, or took too long.",
}


EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "description": "A chunk as JSON, or [DONE]."}},
}
"""One event of a stream, which is what a stream's schema describes."""


def document(models: Sequence[str]) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1, of a server with these models."""
    forms: dict[type[BaseModel], str] = {answers.Fault: "serialization"}
    for _, _, body, answer in POSTS:
        forms |= {body: "validation", answer: "serialization"}
    forms |= {answer: "serialization" for _, _, answer in GETS} | {answers.ModelCard: "serialization"}
    names, definitions = models_json_schema(
        [(form, mode) for form, mode in forms.items()],  # type: ignore[misc]
        ref_template="#/components/schemas/{model}",
    )
    refs = {form: names[form, mode] for form, mode in forms.items()}  # type: ignore[index]
    faults = {status: _response(text, _json(refs[answers.Fault])) for status, text in FAULTS.items()}
    closed = {status: faults[status] for status in ("400", "401", "403", "503")}
    paths: dict[str, Any] = {}
    for path, text, answer in GETS:
        responses = {"200": _response("It is so.", _json(refs[answer])), **closed}
        paths[path] = {"get": _operation(path, text, responses)}
    for path, text, body, answer in POSTS:
        content = _json(refs[answer])
        if issubclass(body, schemas.GenerationBody):
            content |= {"text/event-stream": {"schema": EVENT}}
        operation = _operation(path, text, {"200": _response("Done.", content), **faults})
        operation["requestBody"] = {"required": True, "content": _json(refs[body])}
        paths[path] = {"post": operation}
    paths["/v1/models/{id}"] = {"get": _model_by_id(refs[answers.ModelCard], faults["404"])}
    paths["/metrics"] = {"get": _metrics()}
    paths["/health"]["get"]["security"] = [{}]
    for schema in definitions["$defs"].values():
        if schema["title"].endswith("Request") and "model" in schema["properties"]:
            schema["properties"]["model"]["anyOf"][0]["enum"] = list(models)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shizuku",
            "version": __version__,
            "description": "OpenAI's API for models on this machine, and a few paths beside it.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _operation(path: str, text: str, responses: Operation) -> Operation:
    return {"operationId": path.strip("/").replace("/", "_"), "summary": text, "responses": responses}


def _response(text: str, content: Operation) -> Operation:
    return {"description": text, "content": content}


def _json(ref: Any) -> Operation:
    return {"application/json": {"schema": ref}}


def _model_by_id(ref: Any, missing: Operation) -> Operation:
    responses = {"200": _response("The model.", _json(ref)), "404": missing}
    operation = _operation("/v1/models/id", "One model.", responses)
    operation["parameters"] = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    ]
    return operation


def _metrics() -> Operation:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return _operation("/metrics", "Counters for Prometheus.", {"200": _response("The counters.", content)})
