"""The requests that the server takes: their fields, types and ranges. What is not listed is refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]
Texts = Annotated[list[str], Field(fail_fast=True)]
Sequences = Annotated[list[TokenIds], Field(fail_fast=True)]
"""The first wrong item of a list is enough: a list of a million would be an error of a million lines."""


class Body(BaseModel):
    """A JSON object with no field that is not listed."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Body):
    """How a stream is written."""

    include_usage: bool | None = Field(None, description="A last event with the token counts.")
    include_obfuscation: bool | None = Field(None, description="Changes nothing here: nothing is padded.")


class GenerationBody(Body):
    """Fields that chat and plain completions share."""

    model: str | None = Field(None, description="Which model; may be left out where only one is served.")
    stream: bool | None = Field(None, description="Answer in server-sent events as the text is made.")
    stream_options: StreamOptions | None = Field(None, description="Only together with `stream`.")
    n: Annotated[int, Field(ge=1, le=128)] | None = Field(None, description="How many continuations.")
    temperature: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None, description="Divides the logits; 0 always takes the best token."
    )
    top_p: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Keep the fewest best tokens whose probabilities sum to at least this."
    )
    top_k: Annotated[int, Field(ge=-1)] | None = Field(
        None, description="Keep only the k best tokens; 0 or -1 keeps all. Not in OpenAI's API."
    )
    min_p: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="Keep tokens at least this many times as probable as the best. Not in OpenAI's API.",
    )
    repetition_penalty: Annotated[float, Field(ge=0.05, le=20)] | None = Field(
        None, description="Above 1, tokens of prompt and answer become less likely. Not in OpenAI's API."
    )
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = Field(
        None, description="The same request with the same seed gives the same answer."
    )
    stop: str | list[str] | None = Field(None, description="Strings that end the text, up to 16.")
    max_tokens: Count | None = Field(None, description="Most tokens to make.")
    presence_penalty: Penalty | None = Field(
        None, description="Taken off the logit of every token made so far."
    )
    frequency_penalty: Penalty | None = Field(
        None, description="Taken off a token's logit once for each time it was made so far."
    )
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, description="Token id (as a string) to what is added to its logit."
    )
    user: str | None = Field(None, description="Whose request it is: users take turns when it is full.")


class TextPart(Body):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class FunctionCall(Body):
    """A tool's name and its arguments, as JSON text."""

    name: str
    arguments: str


class ToolCallGiven(Body):
    """A call that the assistant made in an earlier turn."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(Body):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCallGiven] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    reasoning_content: str | None = None
    audio: None = None
    annotations: list[Any] | None = None
    function_call: None = None


class FunctionDefinition(Body):
    """A tool that the model may call."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    """A tool, which is always a function."""

    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(Body):
    """The name of one tool."""

    name: str


class NamedToolChoice(Body):
    """Asks for a call of one tool."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Body):
    """A JSON Schema that the answer must meet."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(GenerationBody):
    """Body of POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, fail_fast=True)]
    max_completion_tokens: Count | None = Field(None, description="Most tokens to make (newer name).")
    logprobs: bool | None = Field(None, description="Give the log-probability of each token.")
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(
        None, description="And of so many best tokens in its place; needs `logprobs`."
    )
    answer_begins: TokenIds | None = Field(
        None,
        description="Token ids that the answer begins with; what is given comes behind them. "
        "Not in OpenAI's API.",
    )
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = Field(None, description="False: at most one call in an answer.")
    # Neutral here: they steer OpenAI's own billing, storage and caching, or repeat the only possibility.
    store: bool | None = Field(None, description="Changes nothing: nothing is stored.")
    metadata: dict[str, str] | None = Field(None, description="Changes nothing.")
    service_tier: str | None = Field(None, description="Changes nothing.")
    safety_identifier: str | None = Field(None, description="Changes nothing.")
    prompt_cache_key: str | None = Field(None, description="Changes nothing: equal beginnings are shared.")
    modalities: list[Literal["text"]] | None = Field(None, description="Text is the only one.")


class CompletionRequest(GenerationBody):
    """Body of POST /v1/completions."""

    prompt: str | Texts | TokenIds | Sequences
    echo: bool | None = Field(None, description="Give the prompt too, before what is made.")
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = Field(
        None, description="Log-probabilities of each token and of so many best ones in its place."
    )
    suffix: Literal[""] | None = Field(None, description="Not supported: only empty.")
    best_of: Literal[1] | None = Field(None, description="Not supported: only 1.")


class EmbeddingRequest(Body):
    """Body of POST /v1/embeddings."""

    model: str | None = None
    input: str | Texts | TokenIds | Sequences
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = Field(None, description="Only the model's own width.")
    user: str | None = None


class TokenizeRequest(Body):
    """Body of POST /tokenize: a text, a prompt, or a conversation as the model reads it."""

    model: str | None = None
    text: str | None = Field(None, description="Encoded as text alone: nothing added, nothing special in it.")
    prompt: str | None = Field(
        None, description="Encoded as vLLM does: spellings of control tokens become those tokens."
    )
    add_special_tokens: bool | None = Field(
        None, description="Whether a `prompt` begins with the tokens that the tokenizer puts before texts."
    )
    messages: list[ChatMessage] | None = None
    tools: list[Tool] | None = None


class DetokenizeRequest(Body):
    """Body of POST /detokenize."""

    model: str | None = None
    tokens: list[TokenId]


class AttentionRequest(Body):
    """Body of POST /shizuku/attention: where a head looks while it reads a text or a conversation."""

    model: str | None = None
    text: str | None = None
    messages: list[ChatMessage] | None = None
    tokens: TokenIds | None = None
    layer: Count = 0
    head: Count = 0
