"""The vocabulary inside a GGUF file: byte-level BPE, SentencePiece's two kinds, or WordPiece."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken

from shizuku.errors import TokenizerError
from shizuku.text.gguf_header import read_gguf_header
from shizuku.text.pretokenizers import PATTERNS
from shizuku.text.sentence_pieces import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Entries,
    merged_by_score,
    merged_in_order,
    unigram,
)
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.tokenizer_files import byte_level_bpe, named_templates
from shizuku.text.wordpiece import Words, from_phantom_spaces, put_between, wordpiece

SAME_AS: dict[str, tuple[str, ...]] = {
    "gpt-2": (
        *(
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
        ),
        *("gigachat", "a.x-4.0", "mellum", "modern-bert", "mpt", "olmo", "jais", "trillion", "exaone4"),
        "granite-docling",
    ),
    "smollm": ("starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"),
    "llama-bpe": (
        *("llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),
        *("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"),
    ),
    "qwen2": (
        *("deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "hunyuan", "solar-open", "megrez", "grok-2"),
    ),
    "gpt-4o": ("llama4", "kanana2", "talkie", "minimax-m2"),
    "deepseek-v3": ("hunyuan-dense", "joyai-llm"),
    "bloom": ("poro-chat", "gpt3-finnish"),
}
"""Names of pre-tokenizers that cut as another one does."""

WHOLE_PIECES = frozenset({"llama-bpe", *SAME_AS["llama-bpe"][:8], "tekken"})
"""Pre-tokenizers whose vocabularies take a piece that is a token whole, before any merge."""

_PREFIX = "tokenizer.ggml."
_ASSUMED: dict[str, dict[str, int]] = {
    "llama": {"bos": 1, "eos": 2, "unknown": 0},
    "t5": {"eos": 1, "unknown": 2, "padding": 0},
    "bert": {"unknown": 100, "cls": 101, "seperator": 102, "mask": 103, "padding": 0},
}
"""Ids that a file of a kind need not state; "seperator" is how GGUF spells it."""


def load_gguf_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a GGUF file; raises TokenizerError if it is damaged or of a kind that is not known."""
    try:
        metadata = read_gguf_header(path)
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise TokenizerError(f"{path} is not a whole GGUF file: {error}. Fetch it again.") from error
    return tokenizer_from_metadata(metadata, source=str(path))


def tokenizer_from_metadata(metadata: Mapping[str, Any], *, source: str) -> Tokenizer:
    """The tokenizer that GGUF `metadata` (its `tokenizer.*` keys) describes; `source` names the file in
    errors.

    Raises TokenizerError for kinds of vocabulary and pre-tokenizers that are not known: guessing either would
    give wrong ids without a sound.
    """
    kind = metadata.get(f"{_PREFIX}model")
    build = _BUILDERS.get(str(kind))
    if build is None:
        raise TokenizerError(
            f"{source} holds a vocabulary of kind {kind!r}; known: {', '.join(_BUILDERS)}. Load the model's "
            "Hugging Face directory instead."
        )
    entries = _entries(metadata, source)
    special = _special(metadata, entries)
    backend = build(metadata, entries, special)
    words = [AddedToken(word, normalized=False) for word in entries.of(USER_DEFINED)]
    control = entries.of(CONTROL, UNKNOWN)
    backend.add_tokens(words)
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in control])
    return Tokenizer(
        backend,
        special=special,
        chat_templates=named_templates(_templates(metadata), source),
        settings={"add_bos_token": True} if _opens(metadata, str(kind)) else None,
        vocab_size=len(entries.tokens),
    )


def _opens(metadata: Mapping[str, Any], kind: str) -> bool:
    """Whether prompts begin with the token that opens a document; SentencePiece's where nothing is said."""
    return kind != "bert" and bool(metadata.get(f"{_PREFIX}add_bos_token", kind == "llama"))


def _byte_level(
    metadata: Mapping[str, Any], entries: Entries, special: SpecialTokens
) -> tokenizers.Tokenizer:
    pre = str(metadata.get(f"{_PREFIX}pre", "default"))
    pattern = next((name for name in PATTERNS if pre == name or pre in SAME_AS.get(name, ())), None)
    if pattern is None:
        raise TokenizerError(
            f"{entries.source} cuts text by the pre-tokenizer {pre!r}, which is not known here; known: "
            f"{', '.join(PATTERNS)}. Load the model's Hugging Face directory instead."
        )
    vocabulary = dict(zip(entries.tokens, range(len(entries.tokens)), strict=True))
    merges = _merges(metadata, entries.source)
    return byte_level_bpe(vocabulary, merges, PATTERNS[pattern], ignore_merges=pre in WHOLE_PIECES)


def _by_score(metadata: Mapping[str, Any], entries: Entries, special: SpecialTokens) -> tokenizers.Tokenizer:
    space_first = bool(metadata.get(f"{_PREFIX}add_space_prefix", True))
    return merged_by_score(entries, space_first=space_first)


def _in_order(metadata: Mapping[str, Any], entries: Entries, special: SpecialTokens) -> tokenizers.Tokenizer:
    merges = _merges(metadata, entries.source)
    return merged_in_order(entries, merges, space_first=False, lines=True)


def _unigram(metadata: Mapping[str, Any], entries: Entries, special: SpecialTokens) -> tokenizers.Tokenizer:
    characters = metadata.get(f"{_PREFIX}precompiled_charsmap") or []
    return unigram(
        entries,
        space_first=bool(metadata.get(f"{_PREFIX}add_space_prefix", False)),
        one_space=bool(metadata.get(f"{_PREFIX}remove_extra_whitespaces", False)),
        character_map=bytes(byte & 0xFF for byte in characters) or None,
    )


def _words(metadata: Mapping[str, Any], entries: Entries, special: SpecialTokens) -> tokenizers.Tokenizer:
    if special.unk is None:
        raise TokenizerError(
            f"{entries.source} is a WordPiece vocabulary without an unknown token; it is not whole."
        )
    lowercase = bool(metadata.get(f"{_PREFIX}normalizer.lowercase", True))
    words = Words(
        lowercase=lowercase,
        strip_accents=bool(metadata.get(f"{_PREFIX}normalizer.strip_accents", lowercase)),
    )
    control = frozenset(entries.of(CONTROL, UNKNOWN, USER_DEFINED))
    backend = wordpiece(from_phantom_spaces(entries.tokens, control), unknown=special.unk, words=words)
    if special.cls is not None and special.sep is not None:
        put_between(backend, special.cls, special.sep)
    return backend


_BUILDERS = {
    "gpt2": _byte_level,
    "llama": _by_score,
    "gemma4": _in_order,
    "t5": _unigram,
    "bert": _words,
}
"""How each kind of vocabulary becomes a backend."""


def _entries(metadata: Mapping[str, Any], source: str) -> Entries:
    tokens = _list(metadata, "tokens", source)
    if len(set(tokens)) != len(tokens):
        raise TokenizerError(
            f"{source} lists {len(tokens) - len(set(tokens)):,} tokens twice; its ids are not clear."
        )
    types = list(metadata.get(f"{_PREFIX}token_type", ())) or [NORMAL] * len(tokens)
    scores = list(metadata.get(f"{_PREFIX}scores", ())) or [0.0] * len(tokens)
    for name, values in (("types", types), ("scores", scores)):
        if len(values) != len(tokens):
            raise TokenizerError(f"{source} lists {len(tokens):,} tokens but {len(values):,} {name}.")
    if metadata.get(f"{_PREFIX}model") in ("llama", "t5") and len(set(scores)) < 2:
        raise TokenizerError(f"{source} has no scores under {_PREFIX}scores, without which no id is right.")
    return Entries(tokens, types, scores, source)


def _merges(metadata: Mapping[str, Any], source: str) -> list[tuple[str, str]]:
    merges = []
    for line in _list(metadata, "merges", source):
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise TokenizerError(
                f"{source} holds the merge {line!r}; expected two tokens with a space between."
            )
        merges.append((left, right))
    return merges


def _list(metadata: Mapping[str, Any], key: str, source: str) -> list[str]:
    value = metadata.get(_PREFIX + key)
    if not isinstance(value, list) or not set(map(type, value)) <= {str}:
        raise TokenizerError(
            f"{source} has no list of strings under {_PREFIX}{key}; its vocabulary is not whole."
        )
    return value


def _special(metadata: Mapping[str, Any], entries: Entries) -> SpecialTokens:
    kind = str(metadata.get(f"{_PREFIX}model"))

    def name(key: str) -> str | None:
        token_id = metadata.get(f"{_PREFIX}{key}_token_id", _ASSUMED.get(kind, {}).get(key))
        if token_id is None or token_id == 0xFFFFFFFF:
            return None
        if not 0 <= int(token_id) < len(entries.tokens):
            raise TokenizerError(
                f"{entries.source} gives {key} the id {token_id}, outside its {len(entries.tokens):,} tokens."
            )
        return entries.tokens[int(token_id)]

    stop = (name("eot"), name("eom"))
    return SpecialTokens(
        bos=name("bos"),
        eos=name("eos"),
        pad=name("padding"),
        unk=name("unknown"),
        cls=name("cls"),
        sep=name("seperator"),
        mask=name("mask"),
        stop=tuple(token for token in stop if token is not None),
    )


def _templates(metadata: Mapping[str, Any]) -> dict[str, str]:
    prefix = "tokenizer.chat_template"
    named = {
        key.removeprefix(f"{prefix}."): str(text)
        for key, text in metadata.items()
        if key == prefix or key.startswith(f"{prefix}.")
    }
    return {("default" if name == prefix else name): text for name, text in named.items() if text}
