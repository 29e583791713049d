"""Text that arrives token by token."""

import random

import fuzz
import pytest

from shizuku.errors import TokenizerError
from shizuku.text.streaming import StopStrings, TextStream
from shizuku.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["the cat sat on the mat 吾輩は猫である " * 5], 280)


def test_pieces_joined_are_the_text_and_never_split_a_character(tokenizer: Tokenizer) -> None:
    for text in ["猫😀é", *fuzz.strings(300, seed=8)]:
        stream = TextStream(tokenizer)
        pieces = [stream.push(token_id) for token_id in tokenizer.encode(text)]
        assert "".join(pieces) == text
        assert stream.finish() == ""
    stream = TextStream(tokenizer)
    assert [stream.push(token_id) for token_id in tokenizer.encode("😀")] == ["", "", "", "😀"]


def test_bytes_that_are_no_character_become_the_replacement_as_in_decode(tokenizer: Tokenizer) -> None:
    source = random.Random(0)
    for _ in range(300):
        ids = [source.randrange(tokenizer.vocab_size) for _ in range(20)]
        for skip in (True, False):
            stream = TextStream(tokenizer, skip_control=skip)
            text = "".join(stream.push(token_id) for token_id in ids) + stream.finish()
            assert text == tokenizer.decode(ids, skip_control=skip)


def cut_by(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    watch = StopStrings(stops)
    out = ""
    for piece in pieces:
        text, stopped = watch.push(piece)
        out += text
        if stopped:
            return out, True
    return out + watch.finish(), watch.stopped


def test_stop_strings_are_found_wherever_the_pieces_break() -> None:
    source = random.Random(1)
    for _ in range(2000):
        text = "".join(source.choice("ab\n") for _ in range(source.randint(0, 14)))
        stops = ["".join(source.choice("ab\n") for _ in range(source.randint(1, 4))) for _ in range(2)]
        places = [text.find(stop) for stop in stops if stop in text]
        pieces, rest = [], text
        while rest:
            size = source.randint(1, 4)
            pieces.append(rest[:size])
            rest = rest[size:]
        assert cut_by(stops, pieces) == (text[: min(places, default=len(text))], bool(places))


def test_text_is_held_back_only_while_it_may_become_a_stop_string() -> None:
    watch = StopStrings(["\nUser:"])
    assert watch.push("Hello\nUs") == ("Hello", False)
    assert watch.push("ually") == ("\nUsually", False)
    assert watch.push("\nUser") == ("", False)
    assert watch.push(": more") == ("", True)
    assert watch.push("more") == ("", True)


def test_no_stop_strings_hold_nothing_back_and_an_empty_one_is_refused() -> None:
    assert StopStrings([]).push("text") == ("text", False)
    assert StopStrings("END").push("aEND") == ("a", True)
    with pytest.raises(TokenizerError, match=r"a stop string is empty.*--stop"):
        StopStrings(["a", ""])
