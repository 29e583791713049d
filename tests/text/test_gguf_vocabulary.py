"""Vocabularies inside GGUF files: read, refused, damaged."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import fuzz
import gguf
import naive_pieces
import pytest

from shizuku.errors import TokenizerError
from shizuku.text.gguf_header import read_gguf_header
from shizuku.text.gguf_vocabulary import SAME_AS, tokenizer_from_metadata
from shizuku.text.pretokenizers import PATTERNS
from shizuku.text.streaming import TextStream
from shizuku.text.tokenizer import Tokenizer

TEXTS = ["The cat didn't sit: 354 × 139.\n\n  吾輩は猫である。", "<|im_end|>", *fuzz.strings(200, seed=7)]


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer.train(TEXTS * 2, 500)


def metadata(tokenizer: Tokenizer) -> dict[str, object]:
    """The keys that llama.cpp's converter writes for this tokenizer."""
    import json

    model = json.loads(tokenizer.backend.to_str())["model"]
    vocabulary = sorted(model["vocab"], key=model["vocab"].get)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": [3 if i in tokenizer.control else 1 for i in range(len(vocabulary))],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.eot_token_id": 3,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.chat_template": tokenizer.chat_template,
        "tokenizer.chat_template.tool_use": "T",
    }


def write(path: Path, keys: dict[str, object]) -> Path:
    writer = gguf.GGUFWriter(str(path), "llama")
    for key, value in keys.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_string(key, str(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_a_vocabulary_survives_gguf(trained: Tokenizer, tmp_path: Path) -> None:
    loaded = Tokenizer.load(write(tmp_path / "a.gguf", metadata(trained)))
    assert loaded.encode_batch(TEXTS) == trained.encode_batch(TEXTS)
    assert loaded.encode_batch(TEXTS, control=True) == trained.encode_batch(TEXTS, control=True)
    assert (loaded.bos_id, loaded.eos_id, loaded.pad_id, loaded.stop_ids) == (0, 1, 2, {1, 3, 4})
    assert loaded.chat_templates == {"default": trained.chat_template, "tool_use": "T"}


def test_the_header_reads_as_the_gguf_package_reads_it(trained: Tokenizer, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", metadata(trained))
    theirs = {name: field.contents() for name, field in gguf.GGUFReader(str(path)).fields.items()}
    ours = read_gguf_header(path)
    assert ours == {name: value for name, value in theirs.items() if not name.startswith("GGUF.")}


def test_strings_may_hold_any_character(trained: Tokenizer, tmp_path: Path) -> None:
    """Strings are decoded together, whatever stands in them."""
    keys = metadata(trained)
    odd = ["\0", "", "a\0b\n", "雨"]
    path = write(tmp_path / "a.gguf", keys | {"tokenizer.ggml.odd": odd, "tokenizer.ggml.none": ["", ""]})
    found = read_gguf_header(path)
    assert found["tokenizer.ggml.odd"] == odd and found["tokenizer.ggml.none"] == ["", ""]
    assert found["tokenizer.ggml.tokens"] == keys["tokenizer.ggml.tokens"]


def test_words_that_are_not_control_are_read_in_text(trained: Tokenizer) -> None:
    keys = metadata(trained)
    keys["tokenizer.ggml.tokens"] = [*keys["tokenizer.ggml.tokens"], "<think>", "[UNUSED]"]
    keys["tokenizer.ggml.token_type"] = [*keys["tokenizer.ggml.token_type"], 4, 5]
    tokenizer = tokenizer_from_metadata(keys, source="x")
    assert tokenizer.encode("<think>") == [500]
    assert 501 not in tokenizer.encode("[UNUSED]", control=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "rwkv"}, r"F holds a vocabulary of kind 'rwkv'; known: gpt2, llama, gemma4, t5, bert"),
        ({"model": "llama"}, r"F has no scores under tokenizer.ggml.scores"),
        ({"model": "gemma4"}, r"F has neither a token for every byte nor an unknown token"),
        (
            {"pre": "brand-new"},
            r"the pre-tokenizer 'brand-new', which is not known here; known: gpt-2, smollm",
        ),
        ({"merges": ["a b c"]}, r"holds the merge 'a b c'; expected two tokens"),
        ({"merges": ["zz yy"]}, r"vocabulary and merges do not belong together"),
        ({"tokens": None}, r"has no list of strings under tokenizer.ggml.tokens"),
        ({"token_type": [1, 2]}, r"lists 500 tokens but 2 types"),
        ({"eos_token_id": 500}, r"gives eos the id 500, outside its 500 tokens"),
    ],
)
def test_what_cannot_be_read_rightly_is_refused(
    trained: Tokenizer, change: dict[str, object], message: str
) -> None:
    keys = metadata(trained) | {f"tokenizer.ggml.{key}": value for key, value in change.items()}
    with pytest.raises(TokenizerError, match=message):
        tokenizer_from_metadata(keys, source="F")


def test_truncated_and_tampered_files_are_refused(trained: Tokenizer, tmp_path: Path) -> None:
    path = write(tmp_path / "whole.gguf", metadata(trained))
    data = path.read_bytes()
    bad = tmp_path / "bad.gguf"
    for end in (0, 3, 20, 24, 30, 100, len(data) // 2, len(data) - 1):
        bad.write_bytes(data[:end])
        with pytest.raises(TokenizerError, match=r"bad.gguf is not a whole GGUF.*Fetch it again"):
            Tokenizer.load(bad)
    for place, value in ((0, b"GGML"), (4, b"\x09"), (16, b"\xff" * 8), (24, b"\xff" * 8)):
        bad.write_bytes(data[:place] + value + data[place + len(value) :])
        with pytest.raises(TokenizerError, match=r"bad.gguf is not a whole GGUF file"):
            Tokenizer.load(bad)


def test_every_name_leads_to_one_pattern() -> None:
    names = [*PATTERNS, *(name for group in SAME_AS.values() for name in group)]
    assert len(names) == len(set(names))
    assert set(SAME_AS) <= set(PATTERNS)


# ---- SentencePiece's kinds and WordPiece


def sentence_piece_metadata(model: str) -> dict[str, object]:
    """A vocabulary as SentencePiece makes one: entries with scores, bytes, a user-defined run of newlines."""
    merges = ["▁t", "he", "▁the", "▁▁", "▁▁▁▁", "▁▁▁", "aa", "aaa", "猫で", "である", "あ▁い", "</", "</s"]
    letters = sorted({c for t in TEXTS for c in t if c.isalpha()} | set("▁<>/s吾輩は猫である、いあ"))
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{b:02X}>" for b in range(256)),
        "\n\n",
        *merges,
        "</s>x",
        *letters,
    ]
    types = [2, 3, 3, *[6] * 256, 4, *[1] * (len(merges) + 1 + len(letters))]
    scores = [0.0] * 260 + [-1.0, -2.0, -3.0, -9e8, -9e8, -9e8, *(-4.0 - i for i in range(len(merges) - 5))]
    scores += [-100.0 - i / 8 for i in range(len(letters))]
    if model == "t5":
        types[3:259] = [1] * 256
        tokens[3:259] = [f"unused{b}" for b in range(256)]
        scores[3:259] = [-50.0] * 256
    keys = {"model": model, "tokens": tokens, "token_type": types, "scores": scores, "unknown_token_id": 0}
    keys |= {"bos_token_id": 1, "eos_token_id": 2}
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items()}


SPACED = [
    "aaaaaaa    the  the",
    " the猫である  ",
    "</s>",
    "</s>x<s>",
    "<0x0A>",
    "あ いあ い",
    "▁the",
    "",
    " ",
    *TEXTS,
]


SPACED += [f"x{' ' * number}x" for number in range(5, 12)]


@pytest.mark.parametrize("space_first", [True, False])
@pytest.mark.parametrize(
    ("model", "judge"), [("llama", naive_pieces.merged_by_score), ("t5", naive_pieces.most_probable)]
)
def test_pieces_by_score_equal_the_naive_reference(
    model: str, judge: Callable[..., list[int]], space_first: bool
) -> None:
    keys = sentence_piece_metadata(model) | {"tokenizer.ggml.add_space_prefix": space_first}
    tokenizer = tokenizer_from_metadata(keys, source="x")
    tokens, types, scores = (keys[f"tokenizer.ggml.{name}"] for name in ("tokens", "token_type", "scores"))
    for text in SPACED:
        expected = [
            token_id
            for part in re.split("(\n\n)", text)
            if part
            for token_id in (
                [tokens.index(part)] if part == "\n\n" else judge(part, tokens, types, scores, space_first)
            )
        ]
        assert tokenizer.encode(text) == expected, text
        stream = TextStream(tokenizer, begins=True)
        assert "".join(map(stream.push, expected)) + stream.finish() == tokenizer.decode(expected)
        # After an added word another space is put in, as llama.cpp does; and no text keeps its own "▁".
        if model == "llama" and not (space_first and "\n\n" in text):
            assert tokenizer.decode(expected) == text.replace("▁", " ")
        assert not {1, 2} & set(expected)
    assert tokenizer.encode("a</s>", control=True)[-1] == tokenizer.eos_id == 2


@pytest.mark.parametrize("model", ["llama", "t5"])
def test_pieces_by_score_are_saved_as_transformers_reads_them(model: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = tokenizer_from_metadata(
        sentence_piece_metadata(model) | {"tokenizer.ggml.add_space_prefix": True}, source="x"
    )
    tokenizer.save(tmp_path)
    ours, theirs = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    for text in SPACED:
        assert ours.encode(text) == tokenizer.encode(text)
        ids = tokenizer.encode(text, control=True)
        assert theirs(text, add_special_tokens=False).input_ids == ids
        assert ours.decode(ids) == tokenizer.decode(ids)
        if tokenizer.unknown_id not in ids:  # they leave out what is unknown
            assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids)


def test_unigram_tidies_spaces_where_the_file_says_so() -> None:
    keys = sentence_piece_metadata("t5") | {"tokenizer.ggml.remove_extra_whitespaces": True}
    tokenizer = tokenizer_from_metadata(keys, source="x")
    assert tokenizer.decode(tokenizer.encode("  the   cat ")) == "the cat"
    with pytest.raises(TokenizerError, match="Unigram vocabulary with byte tokens"):
        tokenizer_from_metadata(sentence_piece_metadata("llama") | {"tokenizer.ggml.model": "t5"}, source="x")


def test_words_of_bert_are_read_from_their_spelling_in_gguf() -> None:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁cat", "s", "▁the", "▁[", "▁]", "▁unk"]
    keys = {"model": "bert", "tokens": tokens, "token_type": [3] * 5 + [1] * 6, "unknown_token_id": 1}
    keys |= {"cls_token_id": 2, "seperator_token_id": 3, "mask_token_id": 4, "padding_token_id": 0}
    tokenizer = tokenizer_from_metadata({f"tokenizer.ggml.{k}": v for k, v in keys.items()}, source="x")
    assert tokenizer.encode("The CATS thecat") == [7, 5, 6, 1]
    assert tokenizer.encode("[UNK]") == [8, 10, 9]
    assert tokenizer.encode("the [MASK]", control=True) == [7, 4]
    assert tokenizer.decode([7, 5, 6]) == "the cats"


@pytest.mark.slow
def test_ids_equal_those_that_llama_cpp_publishes(llama_cpp_models: Path) -> None:
    """Its `models/ggml-vocab-*.gguf` with `.inp`, `.out`; it publishes no ids for four of the nineteen."""
    checked = []
    for golden in sorted(llama_cpp_models.glob("ggml-vocab-*.gguf.out")):
        path = golden.with_suffix("")
        tokenizer = Tokenizer.load(path)
        given = golden.with_suffix(".inp").read_bytes().decode()
        texts = given.split("\n__ggml_vocab_test__\n")
        rows = [[int(number) for number in line.split()] for line in golden.read_text().split("\n")]
        for text, row in zip(texts, rows, strict=False):
            ids = tokenizer.encode(text)
            # What stands before and after, from its settings, is llama.cpp's doing.
            assert ids in (row, row[1:], row[1:-1]), f"{path.name}: {text!r}"
            if "spm" in path.name or "phi-3" in path.name or "gemma" in path.name:
                assert tokenizer.decode(ids) == text
        checked.append(path.name.removeprefix("ggml-vocab-").removesuffix(".gguf"))
    assert checked == [
        *(
            "bert-bge",
            "command-r",
            "deepseek-coder",
            "deepseek-llm",
            "falcon",
            "gemma-4",
            "gpt-2",
            "llama-bpe",
        ),
        *("llama-spm", "mpt", "phi-3", "qwen2", "qwen35", "refact", "starcoder"),
    ]


@pytest.mark.slow
def test_vocabularies_without_published_ids_equal_the_naive_reference(llama_cpp_models: Path) -> None:
    for name, judge in (
        ("llama-spm", naive_pieces.merged_by_score),
        ("baichuan", naive_pieces.merged_by_score),
        ("nomic-bert-moe", naive_pieces.most_probable),
    ):
        path = llama_cpp_models / f"ggml-vocab-{name}.gguf"
        tokenizer, keys = Tokenizer.load(path), read_gguf_header(path)
        lists = [keys[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type", "scores")]
        for text in (" ".join(TEXTS[:1]), *fuzz.strings(40, seed=8)):
            if name == "nomic-bert-moe":  # its table of replacements is judged by the library it comes from
                text = " ".join(unicodedata.normalize("NFKC", text).split())
                text = "".join(c for c in text if c.isascii() or "\u3041" <= c <= "\u9fff")
                text = "".join(c for c in text if c == " " or c.isprintable()).strip()
                text = re.sub(" +", " ", text)
            assert tokenizer.encode(text) == (judge(text, *lists, True) if text else []), (name, text)
    for name in ("aquila", "gpt-neox"):  # byte-level, of kinds that the others judge
        tokenizer = Tokenizer.load(llama_cpp_models / f"ggml-vocab-{name}.gguf")
        assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in TEXTS)


@pytest.mark.slow
def test_gemmas_vocabulary_keeps_every_text_and_its_6249_control_tokens_apart(data_pack: Path) -> None:
    from shizuku.checkpoints.fetch import pulled

    path = pulled("gemma-3-270m")
    if path is None:
        pytest.skip("Gemma 3 is not here: run `shizuku pull gemma-3-270m`")
    tokenizer = Tokenizer.load(path)
    english = (data_pack / "text" / "wikitext2.valid.txt").read_text()[:100_000]
    japanese = (data_pack / "japanese" / "neko.txt").read_text()[:50_000]
    for text in (english, japanese, "a\n\n\n  b\t\tc", "  Hello 世界", *fuzz.strings(300, seed=10)):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("\n\n  x") == [108, 138, 236781]  # runs are entries of their own
    assert tokenizer.encode("<start_of_turn>user\n", control=True) == [105, 2364, 107]
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (2, 1, 0)
    assert tokenizer.stop_ids == {1, 106} and len(tokenizer.control) == 6249
    forged = [name for token_id, name in tokenizer.control.items() if token_id in tokenizer.encode(name)]
    assert forged == []
