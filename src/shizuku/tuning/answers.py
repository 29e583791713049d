"""What a model answers to held-out prompts, and whether it stops by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shizuku.inference.pieces import Pieces
from shizuku.language_model import LanguageModel
from shizuku.models.decoder import Decoder
from shizuku.quantization.layers import held
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.examples import Conversation

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a model."""

    text: str
    """What it wrote."""
    stopped: bool
    """Whether it ended by itself, before the limit of tokens."""


def prompt_of(conversation: Conversation) -> list[Mapping[str, Any]]:
    """The turns before the last answer."""
    turns = list(conversation.messages)
    last = max(number for number, turn in enumerate(turns) if turn["role"] == "assistant")
    return turns[:last]


def reference_of(conversation: Conversation) -> str:
    """The last answer, as the data has it."""
    return str([turn for turn in conversation.messages if turn["role"] == "assistant"][-1]["content"])


def answers_of(
    model: Decoder, tokenizer: Tokenizer, conversations: Sequence[Conversation], *,
    max_new_tokens: int, at_once: int = AT_ONCE,
) -> list[Answer]:  # fmt: skip
    """The model's most probable answer to each conversation's last prompt, `at_once` of them in a pass.

    An answer has as many tokens as the window leaves beside its prompt, at most `max_new_tokens`; where it
    leaves none, it is empty and has not stopped. The model is left in the mode, training or evaluation, that
    it was in; packed matrices are held in floats meanwhile.
    """
    training = model.training
    model.eval()
    try:
        lm = LanguageModel(model, tokenizer)

        def begun(conversation: Conversation) -> Pieces | None:
            prompt, tools = prompt_of(conversation), list(conversation.tools) or None
            room = lm.context - len(tokenizer.encode_chat(prompt, tools=tools))
            if room < 1:
                return None
            return lm.stream_chat(prompt, tools, max_new_tokens=min(max_new_tokens, room), temperature=0.0)

        answers: list[Answer] = []
        with held(model):
            for first in range(0, len(conversations), at_once):
                # All are with the engine, which takes them together in whichever is waited for.
                some = [begun(one) for one in conversations[first : first + at_once]]
                answers += [_read(pieces) for pieces in some]
        return answers
    finally:
        model.train(training)


def _read(pieces: Pieces | None) -> Answer:
    if pieces is None:
        return Answer("", stopped=False)
    for _ in pieces:
        pass
    message = pieces.message()
    return Answer(message.content, message.finish == "stop")
