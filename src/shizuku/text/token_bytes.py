"""The bytes behind every token of a vocabulary, for byte-level, byte-fallback and "▁" vocabularies."""

import json
import re
from collections.abc import Callable

import tokenizers

from shizuku.errors import TokenizerError
from shizuku.text.byte_alphabet import unspell

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def bytes_of_tokens(backend: tokenizers.Tokenizer, vocab_size: int) -> list[bytes]:
    """For each id its bytes; ids that no token has write nothing. Raises TokenizerError for other kinds of
    vocabulary.
    """
    decoder = json.loads(backend.to_str())["decoder"]
    kinds = {part["type"] for part in _flat(decoder)}
    write: Callable[[str], bytes]
    if "ByteLevel" in kinds:
        write = _byte_level
    elif kinds & {"ByteFallback", "Metaspace"} or any(
        part.get("pattern") == {"String": "▁"} for part in _flat(decoder)
    ):
        write = _sentence_pieces
    elif kinds == {"Fuse"}:
        write = str.encode
    else:
        raise TokenizerError(
            f"this vocabulary's decoder ({', '.join(sorted(kinds)) or 'none'}) does not say which bytes a "
            "token writes; byte-level BPE, byte-fallback and '▁' vocabularies do."
        )
    added = backend.get_added_tokens_decoder()
    table = [b""] * vocab_size
    for token, token_id in backend.get_vocab(with_added_tokens=True).items():
        table[token_id] = token.encode() if token_id in added else write(token)
    return table


def unknown_id(backend: tokenizers.Tokenizer) -> int | None:
    """Id that the model gives to what it cannot write; None for a model that can write every text."""
    model = backend.model
    if getattr(model, "byte_fallback", False) or getattr(model, "unk_token", None) is None:
        return None
    return model.token_to_id(model.unk_token)


def _flat(decoder: dict | None) -> list[dict]:
    if decoder is None:
        return []
    return list(decoder["decoders"]) if decoder["type"] == "Sequence" else [decoder]


def _byte_level(token: str) -> bytes:
    data = unspell(token)
    return token.encode() if data is None else data


def _sentence_pieces(token: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()
