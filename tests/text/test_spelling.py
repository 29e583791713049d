"""Every token shows what it writes, also where a character is spread over tokens."""

import pytest

from shizuku.text.spelling import spellings, visible
from shizuku.text.tokenizer import Tokenizer
from small_models import small_tokenizer


class Bytes(Tokenizer):
    """Tokens of given bytes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def token_bytes(self, token_id: int) -> bytes:
        return self.pieces[token_id]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"The", b" cat"], ["The", " cat"]),
        (["雨".encode()[:1], "雨".encode()[1:2], "雨".encode()[2:] + b"!"], ["雨₁", "雨₂", "雨₃!"]),
        ([b"a\xe9\x9b", b"\xa8\xe3\x81", b"\x82"], ["a雨₁", "雨₂あ₁", "あ₂"]),
        ([b"\xff", b"\xe9\x9b", b"x"], ["‹FF›", "‹E9›‹9B›", "x"]),
        ([b"", "𝕊".encode()[:2], "𝕊".encode()[2:]], ["", "𝕊₁", "𝕊₂"]),
    ],
)
def test_characters_stand_in_all_their_tokens(pieces: list[bytes], expected: list[str]) -> None:
    assert spellings(Bytes(pieces), range(len(pieces))) == expected


def test_a_real_tokenizer_in_japanese() -> None:
    tokenizer = small_tokenizer()
    shown = spellings(tokenizer, tokenizer.encode("the rain 鳥"))
    assert "".join(shown).startswith("the rain ")
    assert shown[-3:] == ["鳥₁", "鳥₂", "鳥₃"]


def test_spaces_are_made_visible() -> None:
    assert [visible(text) for text in (" it", "  ", "a b", "\n", "x ", "")] == [
        "␣it",
        "␣␣",
        "a b",
        "↵",
        "x␣",
        "∅",
    ]
