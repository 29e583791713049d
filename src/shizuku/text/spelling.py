"""What each token of a text shows, also where a character is spread over several."""

from collections.abc import Sequence

from shizuku.text.tokenizer import Tokenizer

PARTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def spellings(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """The text of each token; a character of several tokens stands in each, numbered: 雨₁ 雨₂ 雨₃.

    Bytes that belong to no character show as ‹E9›.
    """
    pieces = [tokenizer.token_bytes(token) for token in ids]
    owners = [number for number, piece in enumerate(pieces) for _ in piece]
    shown: list[list[str]] = [[] for _ in pieces]
    at = 0
    for character, size in _characters(b"".join(pieces)):
        tokens = list(dict.fromkeys(owners[at : at + size]))
        for part, token in enumerate(tokens, start=1):
            shown[token].append(character + (str(part).translate(PARTS) if len(tokens) > 1 else ""))
        at += size
    return ["".join(parts) for parts in shown]


def visible(text: str) -> str:
    """A token's text with the spaces and line ends around it made visible."""
    body = text.strip(" ")
    left = len(text) - len(text.lstrip(" ")) if body else len(text)
    right = len(text) - len(text.rstrip(" ")) if body else 0
    return "␣" * left + body.replace("\n", "↵").replace("\t", "⇥") + "␣" * right or "∅"


def _characters(data: bytes) -> list[tuple[str, int]]:
    """Each character with its number of bytes; a byte of none as its number."""
    found, at = [], 0
    while at < len(data):
        for size in (1, 2, 3, 4):
            try:
                found.append((data[at : at + size].decode("utf-8"), size))
                break
            except UnicodeDecodeError:
                continue
        else:
            size = 1
            found.append((f"‹{data[at]:02X}›", 1))
        at += size
    return found
