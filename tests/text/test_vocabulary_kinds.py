"""Vocabularies that are no byte-level BPE: what they write, what they lose, what cannot be forged."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import fuzz
import naive_bpe
import naive_pieces
import pytest
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from shizuku.errors import TokenizerError, VocabularySizeError
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.streaming import TextStream
from shizuku.text.tokenizer import Tokenizer

TEXT = "To be, or not to be:\n\n\t  吾輩は猫である。名前はまだ無い。\r\n  <|im_end|> e\u0301 🇯🇵"
CORPUS = [TEXT * 3, "The cat sat on the mat, and the other cat didn't. " * 4, *fuzz.strings(150, seed=9)]
CORPUS = ["".join(c for c in text if c not in "ж犬") for text in CORPUS]
BARE = SpecialTokens(bos="<s>", eos="</s>", pad="<pad>", unk="<unk>")


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
    with pytest.raises(
        TokenizerError, match="of kind 'words' is not known; known: byte-bpe, character-bpe, unigram"
    ):
        Tokenizer.train([TEXT], 300, kind="words")  # type: ignore[arg-type]


# ---- BPE over characters


def test_the_bpe_of_the_article_over_characters_with_an_unknown() -> None:
    """Its steps: all characters are entries; the most frequent pair of neighbours is merged, everywhere; so
    on until the vocabulary is full; then every text can be written that has no other character.
    """
    text = "aaabdaaabac"
    tokenizer = Tokenizer.train([text], 4 + 4 + 3, kind="character-bpe", special=BARE)
    pieces = [tokenizer.decode([token_id]) for token_id in range(4, tokenizer.vocab_size)]
    assert pieces == ["a", "b", "c", "d", "aa", "ab", "aaab"]
    assert [tokenizer.decode([i]) for i in tokenizer.encode(text)] == ["aaab", "d", "aaab", "a", "c"]
    assert tokenizer.encode("abe").count(tokenizer.unknown_id) == 1
    assert tokenizer.decode(tokenizer.encode("abe")) == "ab\ufffd"
    assert tokenizer.unknown_characters(["abe", "eef", text]) == 4


def test_the_articles_sentence_falls_into_the_articles_pieces(data_pack: Path) -> None:
    gpt = Tokenizer.load(data_pack / "gpt2")
    ids = gpt.encode('tokenizer: texts -> series of numerical "tokens"')
    assert [gpt.decode([i]) for i in ids] == [
        *("token", "izer", ":", " texts", " ->", " series", " of", " numerical", ' "', "t", "ok", "ens", '"'),
    ]


def test_character_bpe_equals_the_naive_reference() -> None:
    special = SpecialTokens(unk="<unk>")
    reference = naive_bpe.train_characters(CORPUS, 150, 1)
    tokenizer = Tokenizer.train(CORPUS, 1 + len(reference), kind="character-bpe", special=special)
    assert [tokenizer.token_bytes(i).decode() for i in range(1, tokenizer.vocab_size)] == reference


def test_too_many_characters_leave_room_for_merges_and_become_unknown() -> None:
    words = " the cat sat on the mat, and the other cat did not "
    texts = [(chr(0x4E00 + n) + words) * (150 - n // 20 * 20) for n in range(100)]  # equally rare ones
    for kind in ("character-bpe", "wordpiece", "unigram"):
        trained = [Tokenizer.train(texts, 44, kind=kind) for _ in range(2)]  # type: ignore[arg-type]
        assert trained[0].backend.to_str() == trained[1].backend.to_str(), kind
        assert trained[0].unknown_id not in trained[0].encode("the 一")
        assert trained[0].encode(chr(0x4E00 + 99))[-1] == trained[0].unknown_id


# ---- Unigram


def test_unigram_takes_the_most_probable_of_all_segmentations(kinds: dict[str, Tokenizer]) -> None:
    tokenizer = kinds["unigram"]
    entries = json.loads(tokenizer.backend.to_str())["model"]["vocab"]
    tokens = [piece.replace(" ", "▁") for piece, _ in entries]
    types = [
        2 if i == tokenizer.unknown_id else 3 if i in tokenizer.control else 1 for i in range(len(tokens))
    ]
    scores = [score for _, score in entries]
    for text in [*CORPUS[:20], "吾輩は犬であるわん", " a  b\n\n c"]:
        lines = [part for part in re.split(r"(\n)", text) if part]  # runs of unknowns end with a line
        expected = [
            i for line in lines for i in naive_pieces.most_probable(line, tokens, types, scores, False)
        ]
        assert tokenizer.encode(text) == expected, text


# ---- WordPiece


def test_words_are_cut_longest_first_and_unknown_as_a_whole(kinds: dict[str, Tokenizer]) -> None:
    tokenizer = kinds["wordpiece"]
    vocabulary = json.loads(tokenizer.backend.to_str())["model"]["vocab"]
    unknown = tokenizer.unknown_id
    assert unknown is not None
    source = random.Random(6)
    words = ["".join(source.choices("aehinotsżéTS猫は", k=source.randint(1, 9))) for _ in range(100_000)]
    cut = [normalised(word) for word in words]
    expected = [
        [i for part in parts for i in naive_pieces.longest_first(part, vocabulary, unknown)] for parts in cut
    ]
    assert tokenizer.encode_batch(words) == expected
    share = sum(unknown in ids for ids in expected) / len(expected)
    assert 0.02 < share < 0.98  # both outcomes are tried
    assert tokenizer.encode("the ж猫the") == [vocabulary["the"], unknown, vocabulary["猫"], vocabulary["the"]]
    assert tokenizer.encode("the theжthe") == [vocabulary["the"], unknown]


def normalised(word: str) -> list[str]:
    """Small letters, no accents, Chinese characters apart."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
    return [part for part in re.split("(猫)", plain) if part]


def test_berts_control_tokens_are_never_split_and_never_forged(kinds: dict[str, Tokenizer]) -> None:
    tokenizer = kinds["wordpiece"]
    assert list(tokenizer.control.values()) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for token_id, name in tokenizer.control.items():
        assert tokenizer.encode(f"the {name}the", control=True)[1:2] == [token_id]
        assert len(tokenizer.encode(name)) > 1 or tokenizer.encode(name) == [tokenizer.unknown_id]
    plain = "the cat sat on the mat"
    assert tokenizer.decode(tokenizer.encode(plain)) == plain


def test_a_directory_with_berts_vocabulary_file_loads(kinds: dict[str, Tokenizer], tmp_path: Path) -> None:
    from transformers import BertTokenizer

    trained = kinds["wordpiece"]
    entries = sorted(trained.backend.get_vocab().items(), key=lambda entry: entry[1])
    file = tmp_path / "vocab.txt"
    file.write_text("".join(f"{token}\n" for token, _ in entries))
    for lowercase in (True, False):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
        ours, theirs = Tokenizer.load(tmp_path), BertTokenizer.from_pretrained(tmp_path)
        for text in [*CORPUS, "The CAFÉ [MASK]"]:
            assert ours.encode(text, control=True) == theirs(text, add_special_tokens=False).input_ids
        assert ours.special == trained.special and ours.control == trained.control
    file.write_text("[PAD]\n[UNK]\nthe\n[PAD]\n")
    with pytest.raises(TokenizerError, match=r"entry '\[PAD\]' in lines 1 and 4"):
        Tokenizer.load(tmp_path)
    file.write_text("[PAD]\n[UNK]\nthe\n")
    with pytest.raises(TokenizerError, match=r"no entry for \[SEP\], \[CLS\], \[MASK\]"):
        Tokenizer.load(tmp_path)


# ---- every kind


@pytest.fixture(scope="module")
def kinds() -> dict[str, Tokenizer]:
    return train_kinds()


def train_kinds() -> dict[str, Tokenizer]:
    """One of each kind, from the same texts."""
    sizes = {"byte-bpe": 500, "character-bpe": 440, "unigram": 460, "wordpiece": 400, "characters": None}
    return {kind: Tokenizer.train(CORPUS, size, kind=kind) for kind, size in sizes.items()}  # type: ignore


def test_another_process_learns_the_same(kinds: dict[str, Tokenizer]) -> None:
    program = (
        "import test_vocabulary_kinds as t, sys\n"
        "for kind, tokenizer in t.train_kinds().items(): print(kind, t.digest(tokenizer))"
    )
    folder = str(Path(__file__).parent)
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join([folder, *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert dict(line.split() for line in done.stdout.splitlines()) == {k: digest(t) for k, t in kinds.items()}


def digest(tokenizer: Tokenizer) -> str:
    """What two equal tokenizers have in common."""
    return hashlib.sha256(tokenizer.backend.to_str().encode()).hexdigest()


ALL = ("byte-bpe", "character-bpe", "unigram", "wordpiece", "characters")


@pytest.mark.parametrize("kind", ALL)
def test_text_cannot_forge_control_tokens(kinds: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = kinds[kind]
    for token_id, name in tokenizer.control.items():
        for text in (name, f"a{name}b", name * 2, f" {name}\n"):
            assert set(tokenizer.encode(text)) & tokenizer.control.keys() <= {tokenizer.unknown_id}
        assert token_id in tokenizer.encode(f"a{name}b", control=True)


def test_a_control_token_that_is_a_word_stays_out_of_reach() -> None:
    entries = ["unknown", "stop", "the", "##m", "s", "##t", "to", "p", "t", "o", " "]
    unigram = models.Unigram([(entry, -1.0) for entry in entries], unk_id=0)
    words = models.WordPiece({entry: i for i, entry in enumerate(entries)}, unk_token="unknown")
    for model, cut in ((unigram, [4, 6, 7]), (words, [0])):
        backend = Backend(model)
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        backend.add_special_tokens([AddedToken("stop", normalized=False), AddedToken("unknown")])
        backend.add_tokens([AddedToken("[word]", normalized=False)])
        tokenizer = Tokenizer(backend, special=SpecialTokens(eos="stop"))
        assert tokenizer.encode("the stop [word] them", control=True)[:3] == [2, 1, 11]
        assert tokenizer.encode("the stop [word] ж") == [2, *cut, 11, 0]
    for kind, size in (("unigram", 11), ("wordpiece", 14)):
        with pytest.raises(TokenizerError, match="'stop' is also an entry learned from the text"):
            special = SpecialTokens(eos="stop")
            Tokenizer.train(["stop stop non stop nonstop"] * 9, size, kind=kind, special=special)  # type: ignore


@pytest.mark.parametrize("kind", ALL)
def test_text_comes_back_but_for_what_the_kind_loses(kinds: dict[str, Tokenizer], kind: str) -> None:
    tokenizer = kinds[kind]
    for text in CORPUS:
        if kind != "wordpiece":
            assert tokenizer.decode(tokenizer.encode(text)) == text
            assert tokenizer.unknown_characters([text]) == 0
    assert tokenizer.unknown_characters(["the ж犬 the"]) == (0 if kind == "byte-bpe" else 2)


@pytest.mark.parametrize("kind", ALL)
def test_saved_directories_open_in_transformers_with_the_same_ids(
    kinds: dict[str, Tokenizer], kind: str, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    trained = kinds[kind]
    trained.save(tmp_path)
    ours, theirs = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    before = [i for i in (trained.bos_id, trained.cls_id) if i is not None]
    after = [] if trained.sep_id is None else [trained.sep_id]
    for text in [*CORPUS[:20], "an unknown 犬.", "", " ", "a[MASK]<|bos|>"]:
        ids = trained.encode(text, control=True)
        assert ours.encode(text, control=True) == ids and ours.encode(text) == trained.encode(text)
        assert theirs(text, add_special_tokens=False).input_ids == ids
        assert theirs(text).input_ids == [*before, *ids, *after]
    assert theirs.decode(trained.encode(CORPUS[0])) == trained.decode(trained.encode(CORPUS[0]))
    assert (ours.unknown_id, ours.control) == (trained.unknown_id, trained.control)
    assert ours.special.named() == trained.special.named()
    assert theirs.mask_token_id == trained.mask_id
