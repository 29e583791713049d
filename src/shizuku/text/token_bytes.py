"""The bytes behind every token of a vocabulary, for byte-level, byte-fallback, "▁", WordPiece and plain
vocabularies."""

import json
import re
from collections.abc import Callable, Iterable
from functools import partial

import tokenizers
from tokenizers import models

from shizuku.errors import TokenizerError
from shizuku.text.byte_alphabet import unspell

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenBytes:
    """The bytes behind tokens, worked out one by one as they are asked for.

    For a whole vocabulary at once it would hold up the first word of an answer.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Raises TokenizerError for a kind of vocabulary that is not known here."""
        self._backend = backend
        self._write = _writer_of(backend)
        self._added = frozenset(backend.get_added_tokens_decoder())
        self._known: dict[int, bytes] = {}

    def of(self, token_id: int) -> bytes:
        """The bytes of a token; an id that no token has writes nothing."""
        data = self._known.get(token_id)
        if data is None:
            token = self._backend.id_to_token(token_id)
            if token is None:
                return b""
            data = token.encode() if token_id in self._added else self._write(token)
            self._known[token_id] = data
        return data


def _writer_of(backend: tokenizers.Tokenizer) -> Callable[[str], bytes]:
    """What gives the bytes of a token that is no added one, from its spelling."""
    parts = _decoder_parts(backend)
    kinds = {part["type"] for part in parts}
    if "ByteLevel" in kinds:
        return _byte_level
    if "WordPiece" in kinds:
        return partial(_words, prefix=next(part["prefix"] for part in parts if part["type"] == "WordPiece"))
    if kinds & {"ByteFallback", "Metaspace"} or any(part.get("pattern") == {"String": "▁"} for part in parts):
        return _sentence_pieces
    if kinds == {"Fuse"}:
        return str.encode
    raise TokenizerError(
        f"this vocabulary's decoder ({', '.join(sorted(kinds)) or 'none'}) does not say which bytes a "
        "token writes; byte-level BPE, byte-fallback, '▁', WordPiece and plain vocabularies do."
    )


def adds_a_space(backend: tokenizers.Tokenizer) -> bool:
    """Whether texts are encoded with a space before them, which decoding takes off again."""
    return any(
        part["type"] == "WordPiece"
        or (part["type"] == "Metaspace" and part.get("prepend_scheme", "always") != "never")
        or (part["type"] == "Strip" and part["content"] == " " and part["start"] > 0)
        for part in _decoder_parts(backend)
    )


def unknown_id(backend: tokenizers.Tokenizer) -> int | None:
    """Id that the model gives to what it cannot write; None for a model that can write every text."""
    model = backend.model
    if isinstance(model, models.Unigram):
        settings = json.loads(backend.to_str())["model"]
        return None if settings.get("byte_fallback") else settings["unk_id"]
    if getattr(model, "byte_fallback", False) or getattr(model, "unk_token", None) is None:
        return None
    return model.token_to_id(model.unk_token)


def unknown_characters(backend: tokenizers.Tokenizer, unknown: int | None, texts: Iterable[str]) -> int:
    """How many characters of `texts` stand behind the token `unknown`."""
    if unknown is None:
        return 0
    lost = 0
    for text in texts:
        encoding = backend.encode(text, add_special_tokens=False)
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        lost += sum(end - start for token_id, (start, end) in pairs if token_id == unknown)
    return lost


def _decoder_parts(backend: tokenizers.Tokenizer) -> list[dict]:
    """The steps of the decoder, which can be had without writing out the whole vocabulary."""
    decoder = backend.decoder
    return [] if decoder is None else _flat(json.loads(decoder.__getstate__()))


def _flat(decoder: dict) -> list[dict]:
    return list(decoder["decoders"]) if decoder["type"] == "Sequence" else [decoder]


def _byte_level(token: str) -> bytes:
    data = unspell(token)
    return token.encode() if data is None else data


def _sentence_pieces(token: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()


def _words(token: str, *, prefix: str) -> bytes:
    return token.removeprefix(prefix).encode() if token.startswith(prefix) else f" {token}".encode()
