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


def bytes_of_tokens(backend: tokenizers.Tokenizer, vocab_size: int) -> list[bytes]:
    """For each id its bytes; ids that no token has write nothing. Raises TokenizerError for other kinds of
    vocabulary.
    """
    parts = _decoder_parts(backend)
    kinds = {part["type"] for part in parts}
    write: Callable[[str], bytes]
    if "ByteLevel" in kinds:
        write = _byte_level
    elif "WordPiece" in kinds:
        write = partial(_words, prefix=next(part["prefix"] for part in parts if part["type"] == "WordPiece"))
    elif kinds & {"ByteFallback", "Metaspace"} or any(
        part.get("pattern") == {"String": "▁"} for part in parts
    ):
        write = _sentence_pieces
    elif kinds == {"Fuse"}:
        write = str.encode
    else:
        raise TokenizerError(
            f"this vocabulary's decoder ({', '.join(sorted(kinds)) or 'none'}) does not say which bytes a "
            "token writes; byte-level BPE, byte-fallback, '▁', WordPiece and plain vocabularies do."
        )
    added = backend.get_added_tokens_decoder()
    table = [b""] * vocab_size
    for token, token_id in backend.get_vocab(with_added_tokens=True).items():
        table[token_id] = token.encode() if token_id in added else write(token)
    return table


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
