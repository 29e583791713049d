"""Preference pairs as a model reads them: each side rendered by its chat template, its answer marked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from shizuku.errors import DocumentError, TokenizerError
from shizuku.progress import track
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.examples import Example
from shizuku.tuning.pairs import PreferencePair
from shizuku.tuning.rendering import encode_example


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Both sides of a pair; learned are the tokens of the answers, with those that end them."""

    chosen: Example
    """Prompt and better answer."""
    rejected: Example
    """Prompt and worse answer."""
    source: PreferencePair
    """What they are renderings of."""


@dataclass(slots=True)
class EncodedPairs:
    """Pairs as a model reads them."""

    items: list[EncodedPair] = field(default_factory=list)
    """In the order of the pairs."""
    dropped: int = 0
    """Pairs left out because a side was too long."""
    cut: int = 0
    """Pairs of which a side was cut because it was too long."""

    def counts(self) -> dict[str, Any]:
        """Figures for the run record and the report."""
        sides = [side for pair in self.items for side in (pair.chosen, pair.rejected)]
        return {
            "pairs": len(self.items),
            "tokens": sum(len(side.ids) for side in sides),
            "answer_tokens": sum(sum(side.learned[1:]) for side in sides),
            "dropped_too_long": self.dropped,
            "cut_too_long": self.cut,
        }


def encode_pairs(
    tokenizer: Tokenizer, pairs: Sequence[PreferencePair], *, problems: Problems | None = None
) -> EncodedPairs:
    """Encode both sides of all; a pair that the template refuses is skipped and counted in `problems`.

    So is one whose sides have the same tokens. Raises TokenizerError with the template's first refusal where
    none is left.
    """
    problems = problems if problems is not None else Problems()
    found, first = EncodedPairs(), None
    for pair in track(pairs, "encoding pairs"):
        try:
            chosen, rejected = (
                encode_example(tokenizer, pair.conversation(chosen=side)) for side in (True, False)
            )
        except TokenizerError as error:
            first = first or error
            problems.add(f"the chat template: {error}", pair.id)
            continue
        if chosen.ids == rejected.ids:
            problems.add("sides that the chat template writes alike", pair.id)
            continue
        found.items.append(EncodedPair(chosen, rejected, pair))
    if not found.items and first is not None:
        raise TokenizerError(f"no pair can be rendered: {first}") from first
    return found


def longest_side(pairs: Sequence[EncodedPair]) -> int:
    """Tokens of the longest side, its last one, which is a target only, not counted."""
    return max((len(side.ids) - 1 for pair in pairs for side in (pair.chosen, pair.rejected)), default=0)


def fitted_pairs(encoded: EncodedPairs, context: int, *, too_long: Literal["drop", "cut"]) -> EncodedPairs:
    """The pairs whose sides have at most `context` + 1 tokens, the rest cut or left out, and counted.

    A cut side has lost its end, and with it what ends the turn; a pair whose sides have nothing left to tell
    them apart is dropped. DocumentError if nothing is left.
    """
    kept = EncodedPairs(dropped=encoded.dropped, cut=encoded.cut)
    for pair in encoded.items:
        if max(len(pair.chosen.ids), len(pair.rejected.ids)) > context + 1:
            chosen, rejected = (_cut(side, context + 1) for side in (pair.chosen, pair.rejected))
            empty = not any(chosen.learned[1:]) or not any(rejected.learned[1:])
            if too_long == "drop" or empty or chosen.ids == rejected.ids:
                kept.dropped += 1
                continue
            kept.cut += 1
            pair = EncodedPair(chosen, rejected, pair.source)
        kept.items.append(pair)
    if not kept.items:
        raise DocumentError(
            f"all {kept.dropped:,} pairs have a side longer than {context:,} tokens: raise --context, or "
            "give --too-long cut"
        )
    return kept


def _cut(side: Example, tokens: int) -> Example:
    return Example(side.ids[:tokens], side.learned[:tokens])
