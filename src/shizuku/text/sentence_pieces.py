"""Vocabularies of SentencePiece's kinds as backends: merges by score with bytes for the rest, and Unigram.

SentencePiece (Kudo and Richardson 2018) writes a space as "▁" and knows no words: merges may reach across
the whole text. Where no entry of a vocabulary reaches from a word into the next, cutting there changes no
id and spares the library from merging a whole text as one piece.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from shizuku.errors import TokenizerError

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""SentencePiece's types of entries, under the numbers that GGUF gives them."""

_MOST_CROSSINGS = 64
"""A vocabulary with more ways than this from one word into the next is not cut."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The lists of a SentencePiece vocabulary, in order of ids."""

    tokens: Sequence[str]
    types: Sequence[int]
    scores: Sequence[float]
    source: str
    """The file, for errors."""

    def of(self, *types: int) -> list[str]:
        """The entries of some types."""
        return [token for token, kind in zip(self.tokens, self.types, strict=True) if kind in types]


def merged_by_score(entries: Entries, *, space_first: bool) -> Tokenizer:
    """BPE in which the pair that makes the entry of the highest score is merged first, the leftmost of
    equals.

    The library ranks pairs, not entries: every pair that makes an entry gets that entry's place. Entries
    with equal scores are runs of one character in the vocabularies in use; the longest first then merges
    them from the left, as SentencePiece does.
    """
    usable = {
        token: score
        for token, kind, score in zip(entries.tokens, entries.types, entries.scores, strict=True)
        if kind in (NORMAL, UNUSED)
    }
    # `usable` is in the order of ids, which the sort keeps among equals.
    ranked = sorted(usable, key=lambda token: (-usable[token], -len(token)))
    merges = [
        (left, right)
        for token in ranked
        for cut in range(len(token) - 1, 0, -1)
        if (left := token[:cut]) in usable and (right := token[cut:]) in usable
    ]
    return merged_in_order(entries, merges, space_first=space_first)


def merged_in_order(
    entries: Entries, merges: list[tuple[str, str]], *, space_first: bool, lines: bool = False
) -> Tokenizer:
    """BPE over characters with "▁" for spaces and byte tokens for what no entry writes; `lines` are cut
    apart.
    """
    vocabulary = {token: place for place, token in enumerate(entries.tokens)}
    all_bytes = sorted(entries.of(BYTE)) == [f"<0x{byte:02X}>" for byte in range(256)]
    unknown = next(iter(entries.of(UNKNOWN)), None)
    if not all_bytes and unknown is None:
        raise TokenizerError(
            f"{entries.source} has neither a token for every byte nor an unknown token, so not every text "
            "can be encoded. Load the model's Hugging Face directory instead."
        )
    try:
        model = models.BPE(
            vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=all_bytes
        )
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"{entries.source}: tokens and merges do not fit together: {error}") from error
    backend = Tokenizer(model)
    backend.normalizer = _spaces(space_first)
    cut = r"[^\n]+|\n+" if lines else _cut(entries.of(NORMAL, UNUSED))
    if cut is not None:
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(cut), "isolated")
    backend.decoder = _decoder(space_first)
    return backend


def unigram(
    entries: Entries, *, space_first: bool, one_space: bool, character_map: bytes | None
) -> Tokenizer:
    """The most probable segmentation (Kudo 2018); `character_map` is SentencePiece's table of
    replacements.
    """
    if entries.of(BYTE):
        raise TokenizerError(
            f"{entries.source} is a Unigram vocabulary with byte tokens, which cannot be kept out of reach "
            "of a text that spells them. Load the model's Hugging Face directory instead."
        )
    unknown = next((i for i, kind in enumerate(entries.types) if kind == UNKNOWN), None)
    if unknown is None:
        raise TokenizerError(f"{entries.source} is a Unigram vocabulary without an unknown token.")
    scores = [
        0.0 if kind == USER_DEFINED else float(score)
        for kind, score in zip(entries.types, entries.scores, strict=True)
    ]
    backend = Tokenizer(models.Unigram(list(zip(entries.tokens, scores, strict=True)), unk_id=unknown))
    steps: list[normalizers.Normalizer] = []
    if character_map:
        steps.append(normalizers.Precompiled(character_map))
    if one_space:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    backend.normalizer = normalizers.Sequence([*steps, _spaces(space_first or one_space)])
    cut = _cut(entries.of(NORMAL, UNUSED))
    if cut is not None:
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(cut), "isolated")
    backend.decoder = _decoder(space_first or one_space)
    return backend


def _spaces(space_first: bool) -> normalizers.Normalizer:
    replaced = normalizers.Replace(" ", SPACE)
    return normalizers.Sequence([normalizers.Prepend(SPACE), replaced]) if space_first else replaced


def _decoder(space_first: bool) -> decoders.Decoder:
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if space_first else steps)


def _cut(tokens: Sequence[str]) -> str | None:
    """A pattern whose matches end where a word ends and no entry goes on; None where entries go on too
    often.
    """
    crossing = {
        (match[1], match[2])
        for token in tokens
        if SPACE in token[1:]
        for match in re.finditer(rf"(?=([^{SPACE}]){SPACE}+(.?))", token, re.DOTALL)
    }
    if len(crossing) > _MOST_CROSSINGS:
        return None
    inside = [
        rf"{_literal(before)}{SPACE}+" + (rf"(?={_literal(after)})" if after else "")
        for before, after in sorted(crossing)
    ]
    return rf"{SPACE}*(?:{'|'.join([*inside, f'[^{SPACE}]'])})+|{SPACE}+"


def _literal(character: str) -> str:
    return rf"\x{{{ord(character):X}}}"
