"""Texts and pairs of texts as the token ids that a classifier reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from shizuku.errors import ConfigError
from shizuku.text.framing import fitting, framed
from shizuku.text.prompting import opening
from shizuku.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class ReadText:
    """A text, or a pair of texts, as the model reads it."""

    ids: list[int]
    """Token ids of the whole."""
    second: int | None = None
    """At which id the second text of a pair begins."""
    cut: bool = False
    """Whether something of it did not fit."""


class NoToken(ConfigError):
    """A text that the tokenizer makes nothing of."""


def read_text(
    tokenizer: Tokenizer, text: str | Sequence[str], *, window: int, whole: bool = False
) -> ReadText:
    """A text, or a pair of texts, in `window` tokens at most; NoToken for one that is empty.

    What is too long is cut at its end; of a pair the longer text, until both are equally long.
    """
    if isinstance(text, str):
        ids = text_ids(tokenizer, text, whole=whole)
        return ReadText(cut_to(ids, window, whole=whole), cut=len(ids) > window)
    if len(text) != 2 or not all(isinstance(each, str) for each in text):
        raise ConfigError(f"a pair is two texts, found {text!r:.60}")
    parts = [tokenizer.encode(each) for each in text]
    if not all(parts):
        raise NoToken(f"a pair with a text that has no token has no label: {text!r:.60}")
    before, between, behind = _around(tokenizer, whole=whole)
    room = window - len(before) - len(between) - len(behind)
    if room < 2:
        raise ConfigError(f"--context {window}: no room for two texts and what stands around them")
    first, second = fitting(parts[0], parts[1], room)
    return ReadText(
        [*before, *first, *between, *second, *behind],
        second=len(before) + len(first) + len(between),
        cut=sum(map(len, parts)) > room,
    )


def text_ids(tokenizer: Tokenizer, text: str, *, whole: bool = False) -> list[int]:
    """The ids of a text as transformers' tokenizer gives them, so that its classifiers read the same: between
    its marks for a model that reads whole texts.
    """
    ids = tokenizer.encode(text)
    if whole and ids:
        return framed(tokenizer, ids)
    ids = [*opening(tokenizer), *ids]
    if not ids:
        raise NoToken(f"a text without any token has no label: {text!r:.60}")
    return ids


def cut_to(ids: list[int], window: int, *, whole: bool) -> list[int]:
    """The first `window` ids; a whole text keeps its closing mark."""
    return [*ids[: window - 1], ids[-1]] if whole and len(ids) > window else ids[:window]


def _around(tokenizer: Tokenizer, *, whole: bool) -> tuple[list[int], list[int], list[int]]:
    """What stands before, between and behind the texts of a pair.

    BERT's marks for a model that reads whole texts. Else the token that ends a text stands between them,
    which no text can spell, or a line feed where the vocabulary has no such token.
    """
    if whole:
        first, end = framed(tokenizer, [])
        return [first], [end], [end]
    between = tokenizer.encode("\n") if tokenizer.eos_id is None else [tokenizer.eos_id]
    return opening(tokenizer), between, []
