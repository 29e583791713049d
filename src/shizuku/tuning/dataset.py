"""From conversations to examples for one model: encoded, fitted to the window, some of them held out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from shizuku.errors import DocumentError, TokenizerError
from shizuku.progress import track
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.examples import Conversation, Example
from shizuku.tuning.rendering import ANSWERS, Learn, encode_examples

LEAST_CONTEXT = 256
"""Tokens of a row at least, so that short conversations share it."""
FEW = 10
"""Below so many conversations none is held out."""


@dataclass(slots=True)
class Encoded:
    """Conversations as a model reads them."""

    examples: list[Example] = field(default_factory=list)
    """One of each conversation, or of each answer where the template needs that."""
    sources: list[Conversation] = field(default_factory=list)
    """The conversation of each example."""
    dropped: int = 0
    """Examples left out because they were too long."""
    cut: int = 0
    """Examples cut because they were too long."""

    def counts(self) -> dict[str, Any]:
        """Figures for the run record and the report."""
        return {
            "examples": len(self.examples),
            "tokens": sum(len(example.ids) for example in self.examples),
            "learned_tokens": sum(sum(example.learned[1:]) for example in self.examples),
            "dropped_too_long": self.dropped,
            "cut_too_long": self.cut,
        }


def encode_conversations(
    tokenizer: Tokenizer,
    conversations: Sequence[Conversation],
    *,
    learn: Learn = ANSWERS,
    problems: Problems | None = None,
) -> Encoded:
    """Encode all; a conversation that the template refuses is skipped and counted in `problems`.

    Raises TokenizerError with the template's first refusal where none is left.
    """
    problems = problems if problems is not None else Problems()
    found, first = Encoded(), None
    for conversation in track(conversations, "encoding conversations"):
        try:
            examples = encode_examples(tokenizer, conversation, learn=learn)
        except TokenizerError as error:
            first = first or error
            problems.add(f"the chat template: {error}", conversation.id)
            continue
        found.examples += examples
        found.sources += [conversation] * len(examples)
    if not found.examples and first is not None:
        raise TokenizerError(f"no conversation can be rendered: {first}") from first
    return found


def fitting_context(examples: Sequence[Example], longest: int) -> int:
    """Tokens of a row that every example fits into, as far as the model's window allows."""
    needed = max((len(example.ids) - 1 for example in examples), default=0)
    return min(max(needed, LEAST_CONTEXT), longest)


def fitted(encoded: Encoded, context: int, *, too_long: Literal["drop", "cut"]) -> Encoded:
    """What fits into rows of `context` tokens, the rest cut or left out, and counted.

    A cut example has lost its end, so that what ends a turn is not learned at the cut; one that has nothing
    left to learn is dropped. DocumentError if nothing is left.
    """
    kept = Encoded(dropped=encoded.dropped, cut=encoded.cut)
    for example, source in zip(encoded.examples, encoded.sources, strict=True):
        if len(example.ids) > context + 1:
            example = Example(example.ids[: context + 1], example.learned[: context + 1])
            if too_long == "drop" or not any(example.learned[1:]):
                kept.dropped += 1
                continue
            kept.cut += 1
        kept.examples.append(example)
        kept.sources.append(source)
    if not kept.examples:
        raise DocumentError(
            f"all {kept.dropped:,} examples are longer than a row of {context:,} tokens: raise --context, or "
            "give --too-long cut"
        )
    return kept


def split_conversations(
    conversations: Sequence[Conversation], share: float, seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """Conversations to learn from and held-out ones; the same prompt is never in both.

    Nothing is held out of fewer than ten.
    """
    if not share or len(conversations) < FEW:
        return list(conversations), []
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(conversations))
    wanted = max(1, round(share * len(conversations)))
    chosen = {_prompt(conversations[number]) for number in order[:wanted]}
    held = [one for one in conversations if _prompt(one) in chosen]
    kept = [one for one in conversations if _prompt(one) not in chosen]
    return (kept, held) if kept else (list(conversations), [])


def not_held(
    conversations: Sequence[Conversation], held: Sequence[Conversation], problems: Problems
) -> list[Conversation]:
    """The conversations whose prompt is not that of a held-out one; the others are counted in `problems`."""
    known, kept = {_prompt(one) for one in held}, []
    for one in conversations:
        if _prompt(one) in known:
            problems.add("the prompt is held out", one.id)
        else:
            kept.append(one)
    return kept


def _prompt(conversation: Conversation) -> str:
    asked = [turn for turn in conversation.messages if turn.get("role") == "user"]
    return repr([turn.get("content") for turn in asked])
