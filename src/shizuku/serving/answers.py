"""The forms of what the server answers, for its OpenAPI document (and for tests that hold it to them)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """A JSON object with no field that is not listed."""

    model_config = ConfigDict(extra="forbid")


class FaultDetail(Answer):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class Fault(Answer):
    """Every error."""

    error: FaultDetail


class Health(Answer):
    """Of GET /health."""

    status: Literal["ok"]


class ModelCard(Answer):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    capabilities: list[str]
    vocab_size: int
    parameters: int
    bytes: int


class Models(Answer):
    """Of GET /v1/models."""

    object: Literal["list"]
    data: list[ModelCard]


class CachedTokens(Answer):
    """What of the prompts was not read again."""

    cached_tokens: int


class Usage(Answer):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class Call(Answer):
    """A tool's name and its arguments, as JSON text."""

    name: str
    arguments: str


class ToolCall(Answer):
    """A call that the model asks for."""

    id: str
    type: Literal["function"]
    function: Call


class AssistantMessage(Answer):
    """The model's message."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None


class TokenLogprob(Answer):
    """A token and its log-probability in nats."""

    token: str
    logprob: float
    bytes: list[int] | None
    id: int


class ContentLogprob(TokenLogprob):
    """A token of the text, with the best ones in its place."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(Answer):
    """Log-probabilities of an answer."""

    content: list[ContentLogprob]
    refusal: None


class ChatChoice(Answer):
    """One answer."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatAnswer(Answer):
    """Of POST /v1/chat/completions."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class CompletionLogprobs(Answer):
    """Four columns with a row for each token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(Answer):
    """One continuation."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"]


class CompletionAnswer(Answer):
    """Of POST /v1/completions."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class PromptUsage(Answer):
    """Token counts where nothing is made."""

    prompt_tokens: int
    total_tokens: int


class Embedding(Answer):
    """One vector, as numbers or as base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingAnswer(Answer):
    """Of POST /v1/embeddings."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: PromptUsage


class Tokens(Answer):
    """Of POST /tokenize."""

    model: str
    tokens: list[int]
    count: int
    pieces: list[str]


class Text(Answer):
    """Of POST /detokenize; `prompt` is the same text under vLLM's name."""

    model: str
    text: str
    prompt: str


class TokenizerInfo(Answer):
    """Of GET /tokenizer_info."""

    model: str
    eos_token: str | None
    bos_token: str | None
    pad_token: str | None
    chat_template: str | None


class Attention(Answer):
    """Of POST /shizuku/attention: `weights` [T][T], how much each token (row) looks at each (column)."""

    model: str
    tokens: list[str]
    bytes: list[list[int]]
    ids: list[int]
    layer: int
    head: int
    layers: int
    heads: int
    weights: list[list[float]]


class Status(Answer):
    """Of GET /shizuku/status."""

    time: float
    uptime_seconds: float
    memory_bytes: int
    running: int
    waiting: int
    tokens_per_second: float
    models: list[dict[str, Any]]
