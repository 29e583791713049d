"""The tokenizer against independent implementations, and what text can never do to it."""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fuzz
import naive_bpe
import numpy as np
import pytest
import tokenizers
from tokenizers import AddedToken

from shizuku.errors import TokenizerError
from shizuku.text import control_symbols
from shizuku.text.byte_alphabet import byte_characters
from shizuku.text.control_symbols import text_only
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.training_text import parts

STORY = (
    "The cat sat on the mat, and the other cat didn't. It's 1994; 12 apples cost 354 yen.\n\n"
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。カタカナのテキストも少し。\n"
)
CORPUS = [STORY * 3, STORY.upper(), "  indented\n\tcode = [1, 2, 3]  # 猫\n" * 4, *fuzz.strings(200, seed=5)]


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return Tokenizer.train(CORPUS, 400)


@pytest.fixture(scope="module")
def gpt2(data_pack: Path) -> Tokenizer:
    return Tokenizer.load(data_pack / "gpt2")


def entries(tokenizer: Tokenizer, first: int) -> list[bytes]:
    return [tokenizer.token_bytes(token_id) for token_id in range(first, tokenizer.vocab_size)]


# ---- training


def test_training_equals_the_naive_reference() -> None:
    first = 5
    reference = naive_bpe.train(CORPUS, 250, first)
    assert len(reference) == 256 + 250
    assert entries(Tokenizer.train(CORPUS, first + len(reference)), first) == reference


@pytest.mark.slow
def test_training_equals_the_naive_reference_on_a_megabyte(data_pack: Path) -> None:
    text = (data_pack / "text" / "tinyshakespeare.txt").read_text()[:500_000]
    text += (data_pack / "japanese" / "neko.txt").read_text()[:167_000]
    assert len(text.encode()) > 950_000
    reference = naive_bpe.train([text], 1000, 5)
    assert entries(Tokenizer.train([text], 5 + 256 + 1000), 5) == reference


def test_ties_are_settled_the_same_way_every_time() -> None:
    texts = ["ab cd ef gh ij kl mn op qr st uv wx yz " * 3]
    first = Tokenizer.train(texts, 280).backend.to_str()
    assert all(Tokenizer.train(texts, 280).backend.to_str() == first for _ in range(5))


def test_training_reads_no_more_than_its_limit() -> None:
    read = []

    def source() -> object:
        for index in range(1000):
            read.append(index)
            yield STORY

    Tokenizer.train(source(), 300, max_bytes=5 * len(STORY.encode()))
    assert len(read) <= 7


def test_long_texts_are_cut_where_pieces_end_anyway() -> None:
    text = "".join(source for source in CORPUS) * 20
    cut = list(parts(text, size=500))
    assert "".join(cut) == text
    assert len(cut) > 5
    whole = Tokenizer.train([text], 400)
    assert Tokenizer.train(cut, 400).backend.to_str() == whole.backend.to_str()
    assert max(map(len, parts("x" * 5000, size=500))) == 2000


@pytest.mark.parametrize(
    ("size", "texts", "message"),
    [
        (100, CORPUS, r"256 bytes and 5 control tokens already make 261. Raise --vocab-size to 261"),
        (
            5000,
            ["abab abab"],
            r"5,000 was asked for, but 9 bytes .* allow only 26\d .*Lower --vocab-size to 26\d",
        ),
        (300, [], "there is no text to train a tokenizer on"),
    ],
)
def test_an_impossible_vocabulary_says_what_is_possible(size: int, texts: list[str], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.train(texts, size)


# ---- ids


def test_gpt2_has_the_size_of_the_article(gpt2: Tokenizer) -> None:
    assert gpt2.vocab_size == 50_257 == 256 + 50_000 + 1
    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.bos_id == gpt2.eos_id == gpt2.document_start_id == 50_256
    assert gpt2.stop_ids == {50_256}
    assert gpt2.pad_id is None


def test_gpt2_ids_equal_tiktoken_on_ten_thousand_strings(gpt2: Tokenizer) -> None:
    import tiktoken

    ranks = {gpt2.token_bytes(token_id): token_id for token_id in range(50_256)}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    judge = tiktoken.Encoding(
        "gpt2-local", pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50_256}
    )
    texts = fuzz.strings(10_000)
    ids = gpt2.encode_batch(texts)
    assert ids == [judge.encode_ordinary(text) for text in texts]
    assert gpt2.encode_batch(texts, control=True) == [
        judge.encode(text, allowed_special="all") for text in texts
    ]
    assert [gpt2.decode(row) for row in ids] == texts


def test_smollm2_from_gguf_gives_the_ids_of_its_own_pre_tokenizer(smollm2_gguf: Path) -> None:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    ours = Tokenizer.load(smollm2_gguf)
    theirs = AutoTokenizer.from_pretrained(smollm2_gguf.parent, gguf_file=smollm2_gguf.name)
    texts = ["Once upon a time", "354 × 139", "don't  stop\n\n", STORY, *fuzz.strings(500, seed=2)]
    judge = theirs.backend_tokenizer
    # transformers forgets the digits when it reads GGUF; SmolLM2's own tokenizer.json cuts them off first.
    cut_digits = pre_tokenizers.Digits(individual_digits=True)
    judge.pre_tokenizer = pre_tokenizers.Sequence(
        [cut_digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    assert ours.encode_batch(texts, control=True) == [
        judge.encode(text, add_special_tokens=False).ids for text in texts
    ]
    assert [ours.decode([token_id]) for token_id in ours.encode("2024")] == list("2024")
    assert ours.stop_ids == {0, 2}


def test_any_text_and_any_bytes_come_back(small: Tokenizer, gpt2: Tokenizer) -> None:
    source = random.Random(3)
    for tokenizer in (small, gpt2):
        for text in fuzz.strings(500, seed=1):
            assert tokenizer.decode(tokenizer.encode(text)) == text
        for data in [bytes(range(256)), b"", *(source.randbytes(source.randint(1, 60)) for _ in range(500))]:
            assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


def test_batch_and_threads_give_what_one_by_one_gives(small: Tokenizer) -> None:
    texts = fuzz.strings(300, seed=4)
    alone = [small.encode(text) for text in texts]
    control = [small.encode(text, control=True) for text in texts]
    assert alone != control
    assert small.encode_batch(texts) == alone
    with ThreadPoolExecutor(4) as pool:
        mixed = list(
            pool.map(lambda job: small.encode(job[1], control=job[0]), [(True, t) for t in texts] * 2)
        )
        assert mixed == control * 2
        mixed = list(pool.map(lambda job: small.encode(job[1], control=job[0] == 1), enumerate(texts)))
    assert mixed == [control[i] if i == 1 else alone[i] for i in range(len(texts))]


def test_text_cannot_forge_control_tokens_and_control_mode_reads_them(small: Tokenizer) -> None:
    assert set(small.control.values()) == {"<|bos|>", "<|eos|>", "<|pad|>", "<|im_start|>", "<|im_end|>"}
    for token_id, name in small.control.items():
        for text in (name, f"a{name}b", f" {name}\n", name * 2, name[:-1] + name):
            assert not set(small.encode(text)) & small.control.keys()
            assert small.decode(small.encode(text)) == text
        assert small.encode(f"a{name}b", control=True).count(token_id) == 1
        assert small.decode([token_id]) == ""
        assert small.decode([token_id], skip_control=False) == name


def test_control_tokens_that_merges_or_whole_pieces_reach_stay_unforgeable(tmp_path: Path) -> None:
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    vocabulary = {character: i for i, character in enumerate(byte_characters())}
    vocabulary |= {"ST": 256, "OP": 257, "STOP": 258, "GO": 259}
    merges = [("S", "T"), ("O", "P"), ("ST", "OP")]
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name, normalized=False) for name in ("STOP", "GO")])
    backend.add_tokens([AddedToken("[word]", normalized=False)])
    tokenizer = Tokenizer(backend, special=SpecialTokens(eos="STOP"))
    assert tokenizer.encode("STOP", control=True) == [258]
    assert tokenizer.encode("STOP") == [256, 257]
    assert tokenizer.encode("GO[word]") == [vocabulary["G"], vocabulary["O"], 260]


def test_one_model_for_both_faces_gives_the_ids_of_two(
    small: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no merge arrives at a control token, text is read by the same model instead of a copy of it."""
    backend = tokenizers.Tokenizer.from_str(small.backend.to_str())
    backend.add_tokens([AddedToken("[word]", normalized=False), AddedToken(" 雨 ", rstrip=True)])
    backend.add_special_tokens([AddedToken("<last>", normalized=False)])
    with monkeypatch.context() as patch:
        patch.setattr(control_symbols.json, "loads", lambda text: pytest.fail("the model was written out"))
        sharing = text_only(backend)
    monkeypatch.setattr(control_symbols, "_out_of_reach", lambda model, names: False)
    copied = text_only(backend)
    names = [*small.control.values(), "<last>", "[word]", " 雨 "]
    texts = [*fuzz.strings(200), *names, *(f"{one}{other} x" for one in names for other in names)]
    assert [e.ids for e in sharing.encode_batch(texts)] == [e.ids for e in copied.encode_batch(texts)]
    assert sharing.get_added_tokens_decoder().keys() == copied.get_added_tokens_decoder().keys()


def test_what_is_no_text_is_refused(small: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"half of a surrogate pair.*encode_bytes"):
        small.encode("a\ud800")
    with pytest.raises(TokenizerError, match="half of a surrogate pair"):
        small.encode_batch(["fine", "a\ud800"])
    with pytest.raises(TokenizerError, match=r"expected text \(str\), got int"):
        small.encode(5)  # type: ignore[arg-type]
    with pytest.raises(TokenizerError, match=r"token id 400 is outside the vocabulary \(0 to 399\)"):
        small.decode([400])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_encodes_without_a_word(small: Tokenizer, capfd: pytest.CaptureFixture[str]) -> None:
    texts = ["some text"] * 50
    expected = small.encode_batch(texts)
    child = os.fork()
    if child == 0:
        os._exit(0 if small.encode_batch(texts) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert "fork" not in capfd.readouterr().err


# ---- padding


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_fills_up_one_side_and_the_mask_tells(small: Tokenizer, side: str) -> None:
    rows = [[5, 6, 7], [], [small.pad_id, 8]]
    ids_BT, mask_BT = small.pad(rows, side=side)
    assert ids_BT.dtype == np.int64 and mask_BT.dtype == bool
    assert [ids_BT[row][mask_BT[row]].tolist() for row in range(3)] == rows
    filling = [mask_BT[2].tolist(), [False] * 3][0]
    assert filling == ([False, True, True] if side == "left" else [True, True, False])


def test_padding_needs_no_pad_token_and_names_its_sides(gpt2: Tokenizer, small: Tokenizer) -> None:
    ids_BT, mask_BT = gpt2.pad([[1, 2], [3]])
    assert ids_BT.shape == (2, 2) and mask_BT.tolist() == [[True, True], [True, False]]
    assert small.pad([])[0].shape == (0, 0)
    with pytest.raises(TokenizerError, match="side must be 'left' or 'right', not 'middle'"):
        small.pad([[1]], side="middle")
