"""Vocabularies inside GGUF files: read, refused, damaged."""

from pathlib import Path

import fuzz
import gguf
import pytest

from shizuku.errors import TokenizerError
from shizuku.text.gguf_header import read_gguf_header
from shizuku.text.gguf_vocabulary import SAME_AS, tokenizer_from_metadata
from shizuku.text.pretokenizers import PATTERNS
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
        ({"model": "llama"}, r"F holds a vocabulary of kind 'llama'; only byte-level BPE \('gpt2'\)"),
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


@pytest.mark.slow
def test_ids_equal_those_that_llama_cpp_publishes(llama_cpp_models: Path) -> None:
    """Its `models/ggml-vocab-*.gguf` with `.inp`, `.out`."""
    checked = 0
    for path in sorted(llama_cpp_models.glob("ggml-vocab-*.gguf")):
        golden = path.with_name(path.name + ".out")
        try:
            tokenizer = Tokenizer.load(path)
        except TokenizerError as error:
            assert "can be read from GGUF" in str(error) or "not known here" in str(error)
            continue
        if not golden.is_file():
            continue
        given = path.with_name(path.name + ".inp").read_bytes().decode()
        texts = given.split("\n__ggml_vocab_test__\n")
        rows = [[int(number) for number in line.split()] for line in golden.read_text().split("\n")]
        for text, row in zip(texts, rows, strict=False):
            assert tokenizer.encode(text) in (row, row[1:]), (
                f"{path.name}: {text!r}"
            )  # a leading bos is theirs
        checked += 1
    assert checked >= 10
