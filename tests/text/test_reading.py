"""From tokens to text: whole characters, stop strings, and the reason for the end."""

from shizuku.text.reading import TextReader
from tiny_language_model import tokenizer


def read(text: str, stop: list[str], finish: str | None = "length") -> tuple[list[str], TextReader]:
    ids = tokenizer().encode(text)
    reader = TextReader(tokenizer(), stop)
    ends = [None] * (len(ids) - 1) + [finish]
    return [reader.push(token, end) for token, end in zip(ids, ends, strict=True)], reader


def test_pieces_join_to_the_text_without_splitting_a_character() -> None:
    text = "A boat 🛶 on the lake: 水の上。"
    pieces, reader = read(text, [])
    assert "".join(pieces) == text == reader.text
    assert "\ufffd" not in "".join(pieces)
    assert reader.finish == "length"


def test_a_stop_string_across_token_borders_ends_the_text() -> None:
    pieces, reader = read("The cat sat on the mat.", ["at on th"])
    assert "".join(pieces) == reader.text == "The cat s"
    assert reader.finish == "stop"
    assert reader.tokens < len(tokenizer().encode("The cat sat on the mat."))
    assert reader.push(5, None) == ""


def test_held_back_text_comes_out_at_the_end() -> None:
    assert read("The cat sat on th", ["the mat"])[1].text == "The cat sat on th"


def test_the_stop_token_is_counted_but_not_text() -> None:
    reader = TextReader(tokenizer(), [])
    assert reader.push(tokenizer().encode("a")[0], None) == "a"
    stop = next(iter(tokenizer().stop_ids))
    assert reader.push(stop, "stop") == ""
    assert (reader.text, reader.tokens, reader.finish) == ("a", 2, "stop")


def test_an_end_without_a_token_adds_none() -> None:
    reader = TextReader(tokenizer(), ["never seen"])
    ids = tokenizer().encode("water")
    text = "".join(reader.push(token, None) for token in ids) + reader.push(-1, "length")
    assert (text, reader.finish, reader.tokens) == ("water", "length", len(ids))
