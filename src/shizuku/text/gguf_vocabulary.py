"""The byte-level BPE vocabulary inside a GGUF file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from shizuku.errors import TokenizerError
from shizuku.text.gguf_header import read_gguf_header
from shizuku.text.pretokenizers import PATTERNS
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.tokenizer_files import byte_level_bpe

CONTROL, USER_DEFINED, UNKNOWN = 3, 4, 2
"""Values of `tokenizer.ggml.token_type`: symbols that text cannot write, words that it can, the unknown
token."""

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


def load_gguf_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a GGUF file; raises TokenizerError if it is damaged or of a kind that is not byte-
    level BPE.
    """
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

    Raises TokenizerError for vocabularies that are not byte-level BPE and for pre-tokenizers that are not
    known: guessing either would give wrong ids without a sound.
    """
    kind = metadata.get(f"{_PREFIX}model")
    if kind != "gpt2":
        raise TokenizerError(
            f"{source} holds a vocabulary of kind {kind!r}; only byte-level BPE ('gpt2') can be read from "
            "GGUF. Load the model's Hugging Face directory instead."
        )
    pre = str(metadata.get(f"{_PREFIX}pre", "default"))
    pattern = next((name for name in PATTERNS if pre == name or pre in SAME_AS.get(name, ())), None)
    if pattern is None:
        raise TokenizerError(
            f"{source} cuts text by the pre-tokenizer {pre!r}, which is not known here; known: "
            f"{', '.join(PATTERNS)}. Load the model's Hugging Face directory instead."
        )
    tokens = _list(metadata, "tokens", source)
    merges = [_merge(line, source) for line in _list(metadata, "merges", source)]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise TokenizerError(
            f"{source} lists {len(tokens) - len(vocabulary):,} tokens twice; its ids are not clear."
        )
    backend = byte_level_bpe(vocabulary, merges, PATTERNS[pattern], ignore_merges=pre in WHOLE_PIECES)
    types = list(metadata.get(f"{_PREFIX}token_type", ()))
    if types and len(types) != len(tokens):
        raise TokenizerError(f"{source} lists {len(tokens):,} tokens but {len(types):,} types.")
    words = [token for token, kind in zip(tokens, types, strict=False) if kind == USER_DEFINED]
    control = [token for token, kind in zip(tokens, types, strict=False) if kind in (CONTROL, UNKNOWN)]
    backend.add_tokens([AddedToken(word, normalized=False) for word in words])
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in control])
    return Tokenizer(backend, special=_special(metadata, tokens, source), chat_templates=_templates(metadata))


def _list(metadata: Mapping[str, Any], key: str, source: str) -> list[str]:
    value = metadata.get(_PREFIX + key)
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise TokenizerError(
            f"{source} has no list of strings under {_PREFIX}{key}; its vocabulary is not whole."
        )
    return value


def _merge(line: str, source: str) -> tuple[str, str]:
    left, _, right = line.partition(" ")
    if not left or not right or " " in right:
        raise TokenizerError(f"{source} holds the merge {line!r}; expected two tokens with a space between.")
    return left, right


def _special(metadata: Mapping[str, Any], tokens: list[str], source: str) -> SpecialTokens:
    def name(key: str) -> str | None:
        token_id = metadata.get(f"{_PREFIX}{key}_token_id")
        if token_id is None or token_id == 0xFFFFFFFF:
            return None
        if not 0 <= int(token_id) < len(tokens):
            raise TokenizerError(
                f"{source} gives {key} the id {token_id}, outside its {len(tokens):,} tokens."
            )
        return tokens[int(token_id)]

    stop = (name("eot"), name("eom"))
    return SpecialTokens(
        bos=name("bos"),
        eos=name("eos"),
        pad=name("padding"),
        unk=name("unknown"),
        stop=tuple(token for token in stop if token is not None),
    )


def _templates(metadata: Mapping[str, Any]) -> dict[str, str]:
    prefix = "tokenizer.chat_template"
    named = {
        key.removeprefix(f"{prefix}."): str(text) for key, text in metadata.items() if key.startswith(prefix)
    }
    return {("default" if name == prefix else name): text for name, text in named.items() if text}
