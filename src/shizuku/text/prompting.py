"""Token ids of what a model is asked, as generation reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.errors import ModelError
from shizuku.progress import warn_once
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.window import fit_conversation


def prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Ids of a prompt; they begin with the tokens that the tokenizer's own files put before a text.

    An empty prompt is the document start token alone; ModelError if there is none.
    """
    if not isinstance(prompt, str):
        raise ModelError(f"a prompt is a string, got {type(prompt).__name__} {prompt!r:.60}")
    ids = [*opening(tokenizer), *tokenizer.encode(prompt)]
    start = tokenizer.document_start_id
    if not ids and start is None:
        raise ModelError(
            "the prompt is empty, and this tokenizer has no token that starts a document: give --prompt"
        )
    return ids or [start]  # type: ignore[list-item]  # not None: checked above


def conversation_ids(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    *,
    window: int,
    reserve: int,
) -> tuple[list[int], int]:
    """Ids of a conversation with room for `reserve` tokens more, and how many turns were left out for it.

    TokenizerError without a chat template, ModelError if the last turn doesn't fit.
    """
    fitted = fit_conversation(
        messages,
        count=lambda some: len(tokenizer.encode_chat(some, tools=tools)),
        window=window,
        reserve=reserve,
    )
    if fitted.dropped_turns:
        warn_once(
            f"the conversation is longer than the window of {window} tokens: the oldest "
            f"{fitted.dropped_turns} of its {fitted.turns} turns were left out"
        )
    return tokenizer.encode_chat(fitted.messages, tools=tools), fitted.dropped_turns


def conversing(tokenizer: Tokenizer) -> set[str]:
    """Whether the chat template knows conversations ("chat") and tools in them ("tools")."""
    if tokenizer.chat_template is None:
        return set()
    templates = tokenizer.chat_templates
    return {"chat", "tools"} if "tool_use" in templates or "tools" in templates["default"] else {"chat"}


def opening(tokenizer: Tokenizer) -> list[int]:
    """The token that opens a prompt, where the tokenizer's settings or its own processing put one there."""
    if tokenizer.bos_id is None:
        return []
    added = list(tokenizer.backend.encode("").ids) == [tokenizer.bos_id]
    return [tokenizer.bos_id] if added or tokenizer.settings.get("add_bos_token") else []
