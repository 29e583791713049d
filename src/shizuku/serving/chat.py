"""POST /v1/chat/completions: from the request to what the engine is asked."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.errors import ConfigError, MissingExtraError, ModelError, TokenizerError
from shizuku.inference.grammar import Grammar, json_object, json_schema, tool_calls
from shizuku.serving.answering import Answering
from shizuku.serving.asking import check_stream, requests_for, room_for, stops_of
from shizuku.serving.chat_answer import Chat, ToolUse
from shizuku.serving.choices import Choice
from shizuku.serving.faults import ApiError, bad_value, unsupported
from shizuku.serving.messages import plain_messages, plain_tools, told_of_tools
from shizuku.serving.schemas import ChatRequest, NamedToolChoice
from shizuku.serving.served import ServedModel
from shizuku.serving.settings import ServerSettings
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.tool_calls.calls import read_tools
from shizuku.text.tool_calls.formats import PLAIN, find_format
from shizuku.text.window import Limits, fit


async def prepare_chat(body: ChatRequest, model: ServedModel, settings: ServerSettings, client: str) -> Chat:
    """Everything up to the engine; ApiError for what can't be done."""
    check(body, model, settings)
    asked = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    if asked == 0:
        raise bad_value("max_tokens", "an answer has at least one token")
    # Templates, long texts and grammars take their time: not on the loop that everybody's streams run on.
    use = tool_use(body, model.tokenizer)
    grammar = await asyncio.to_thread(grammar_of, body, model.tokenizer, use)
    prompt = await asyncio.to_thread(prompt_ids, body, model, settings, asked)
    new_tokens = room_for(model, prompt, asked, param="messages")
    requests = requests_for(
        body,
        model,
        prompt,
        new_tokens,
        client=client,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        constraint=None if grammar is None else lambda: grammar.processor(len(prompt)),
    )
    stop = stops_of(body)
    choices = [Choice(model.tokenizer, stop, skip_control=use is None) for _ in requests]
    answering = Answering(model, requests, choices, settings.request_seconds, len(prompt))
    return Chat(body, answering, use)


def check(body: ChatRequest, model: ServedModel, settings: ServerSettings) -> None:
    """ApiError for fields that contradict each other, or that this server would have to ignore."""
    check_stream(body)
    stops = stops_of(body)
    if body.top_logprobs is not None and not body.logprobs:
        raise bad_value("top_logprobs", "`top_logprobs` needs `logprobs` true")
    if (body.n or 1) > settings.max_choices:
        raise bad_value("n", f"at most {settings.max_choices} choices (--max-choices)")
    if "chat" not in model.lm.capabilities:
        raise ApiError(
            400,
            f"The model {model.name!r} has no chat template, so it can't read a conversation: "
            "use /v1/completions.",
            param="messages",
            code="no_chat_template",
        )
    if body.tool_choice not in (None, "none") and not body.tools:
        raise bad_value("tool_choice", "`tool_choice` needs `tools`")
    form = body.response_format
    if form is None or form.type == "text":
        return
    if form.type == "json_schema" and (form.json_schema is None or form.json_schema.schema_ is None):
        raise bad_value(
            "response_format.json_schema", "the type json_schema needs a `json_schema` with a `schema`"
        )
    if stops:
        raise unsupported("stop", "with `response_format` the text would end before it is whole")
    if body.tools and body.tool_choice != "none":
        raise unsupported("response_format", "an answer that may hold tool calls can't be held to a schema")


def tool_use(body: ChatRequest, tokenizer: Tokenizer) -> ToolUse | None:
    """How calls are to be found in the answer; None where there are no tools, or none may be called."""
    tools = plain_tools(body.tools)
    if not tools or body.tool_choice == "none":
        return None
    try:
        known = read_tools(tools)
    except ConfigError as error:
        raise bad_value("tools", str(error)) from error
    template = tokenizer.chat_templates.get("tool_use", tokenizer.chat_template)
    return ToolUse(find_format(template) or PLAIN, known)


def grammar_of(body: ChatRequest, tokenizer: Tokenizer, use: ToolUse | None) -> Grammar | None:
    """What the answer is held to; ApiError for a schema that can't be kept, None where all is allowed."""
    form, choice = body.response_format, body.tool_choice
    param = "response_format"
    try:
        if form is not None and form.type == "json_object":
            return json_object(tokenizer)
        if form is not None and form.type == "json_schema":
            param = "response_format.json_schema.schema"
            assert form.json_schema is not None and form.json_schema.schema_ is not None
            return json_schema(form.json_schema.schema_, tokenizer)
        if use is None or choice in (None, "auto"):
            return None
        param = "tools"
        name = choice.function.name if isinstance(choice, NamedToolChoice) else None
        if name is not None and name not in [tool.name for tool in use.tools]:
            raise bad_value("tool_choice", f"no tool is called {name!r}")
        several = body.parallel_tool_calls is not False
        tools = plain_tools(body.tools) or []
        return tool_calls(tools, tokenizer, format=use.format, name=name, several=several)
    except MissingExtraError as error:
        raise unsupported(param, str(error)) from error
    except ConfigError as error:
        raise bad_value(param, str(error), "unsupported_schema") from error


def prompt_ids(
    body: ChatRequest, model: ServedModel, settings: ServerSettings, asked: int | None
) -> list[int]:
    """The conversation as the model reads it, without its oldest turns where that is the policy."""
    messages: Sequence[Mapping[str, Any]] = plain_messages(body.messages)
    tools = plain_tools(body.tools) if body.tool_choice != "none" else None
    if "tools" not in model.lm.capabilities:
        messages, tools = told_of_tools(messages, tools), None
    tokenizer = model.tokenizer
    try:
        if settings.overflow == "drop":
            limits = Limits(context=model.context)
            messages = fit(
                messages,
                count=lambda some: len(tokenizer.encode_chat(some, tools=tools)),
                limits=limits,
                reserve=min(asked or 512, max(model.context // 4, 1)),
                when_full="drop",
            ).messages
        return tokenizer.encode_chat(messages, tools=tools) + list(body.answer_begins or ())
    except ModelError as error:
        raise ApiError(400, str(error), param="messages", code="context_length_exceeded") from error
    except TokenizerError as error:
        raise bad_value("messages", str(error)) from error
