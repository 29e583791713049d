"""Vocabularies that are no byte-level BPE: what they write, what they lose, what cannot be forged."""

import time
from pathlib import Path

import pytest

from shizuku.errors import TokenizerError, VocabularySizeError
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.streaming import TextStream
from shizuku.text.tokenizer import Tokenizer

TEXT = "To be, or not to be:\n\n\t  吾輩は猫である。名前はまだ無い。\r\n  <|im_end|> e\u0301 🇯🇵"


@pytest.fixture(scope="module")
def characters() -> Tokenizer:
    return Tokenizer.train([TEXT, "another line"], None, kind="characters")


# ---- characters


def test_characters_are_one_token_each_and_come_back(characters: Tokenizer) -> None:
    known = sorted(set(TEXT + "another line"))
    first = characters.vocab_size - len(known)
    assert first == len(characters.control) == 6
    assert characters.encode(TEXT) == [first + known.index(character) for character in TEXT]
    assert characters.decode(characters.encode(TEXT)) == TEXT
    assert characters.encode_batch([TEXT, "", TEXT[5:]])[2] == characters.encode(TEXT)[5:]


def test_an_unknown_character_is_the_unknown_token_and_is_seen_in_the_text(characters: Tokenizer) -> None:
    ids = characters.encode("be 犬\n犬犬")
    unknown = characters.unknown_id
    assert unknown is not None and characters.control[unknown] == characters.special.unk == "<|unk|>"
    assert [token_id == unknown for token_id in ids] == [False] * 3 + [True, False, True, True]
    assert characters.decode(ids) == "be \ufffd\n\ufffd\ufffd"
    stream = TextStream(characters)
    assert "".join(stream.push(token_id) for token_id in ids) + stream.finish() == "be \ufffd\n\ufffd\ufffd"
    assert characters.decode(ids, skip_control=False) == "be <|unk|>\n<|unk|><|unk|>"


def test_the_most_frequent_characters_are_kept_and_the_rest_is_unknown() -> None:
    special = SpecialTokens(bos="<s>")
    tokenizer = Tokenizer.train(["cccbbbaa", "d"], 5, kind="characters", special=special)
    assert tokenizer.control == {0: "<s>", 1: "<|unk|>"}
    assert tokenizer.encode("abcd") == [2, 3, 4, 1]
    with pytest.raises(
        VocabularySizeError, match=r"4 different characters.*Lower --vocab-size to 6"
    ) as error:
        Tokenizer.train(["cccbbbaa", "d"], 7, kind="characters", special=special)
    assert error.value.possible == 6
    with pytest.raises(TokenizerError, match="Raise --vocab-size to 3"):
        Tokenizer.train(["abc"], 2, kind="characters", special=special)
    with pytest.raises(TokenizerError, match="no text to train a tokenizer on"):
        Tokenizer.train([], None, kind="characters")


def test_a_megabyte_in_one_text_is_encoded_in_well_under_a_second(data_pack: Path) -> None:
    text = (data_pack / "text" / "tinyshakespeare.txt").read_text()[:1_000_000].replace("\n", " ")
    tokenizer = Tokenizer.train([text], None, kind="characters")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        ids = tokenizer.encode(text)
        seconds.append(time.perf_counter() - start)
    assert len(ids) == len(text)
    assert min(seconds) < 1.0  # measured 0.2 s on a busy core


def test_only_characters_need_no_size() -> None:
    with pytest.raises(TokenizerError, match=r"kind byte-bpe needs a size. Give --vocab-size"):
        Tokenizer.train([TEXT], None)
    with pytest.raises(TokenizerError, match="of kind 'words' is not known; known: byte-bpe, characters"):
        Tokenizer.train([TEXT], 300, kind="words")  # type: ignore[arg-type]


# ---- every kind


def test_text_cannot_forge_control_tokens(characters: Tokenizer) -> None:
    for token_id, name in characters.control.items():
        for text in (name, f"a{name}b", name * 2):
            forged = set(characters.encode(text)) & characters.control.keys()
            assert forged <= {characters.unknown_id}
        assert token_id in characters.encode(f"a{name}b", control=True)
    assert characters.unknown_id not in characters.encode("<|im_end|>")


def test_saved_directories_open_in_transformers_with_the_same_ids(
    characters: Tokenizer, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    characters.save(tmp_path)
    ours, theirs = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    texts = [TEXT, "an unknown 犬.", "", " "]
    for text in texts:
        assert ours.encode(text) == characters.encode(text)
        assert theirs(text, add_special_tokens=False).input_ids == characters.encode(text, control=True)
        assert theirs(text).input_ids == [characters.bos_id, *characters.encode(text, control=True)]
    assert theirs.decode(characters.encode(texts[0])) == TEXT
    assert (ours.unknown_id, ours.special.unk) == (characters.unknown_id, "<|unk|>")
