"""Token shards: what is written is what is read, and what does not belong together is refused by name."""

import errno
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from byte_corpus import ByteTokenizer, Record, records

from shizuku.data import shards as shards_module
from shizuku.data.shards import ShardSet, record_key, write_shards
from shizuku.errors import DocumentError, TokenizerError

TEXTS = ["first document", "二つ目の文書", "x", "a fourth, somewhat longer than the others"]


@pytest.mark.parametrize("shard_tokens", [1, 30, 1 << 20])
def test_documents_and_records_come_back(tmp_path: Path, shard_tokens: int) -> None:
    wrote = records(TEXTS)
    found = write_shards(wrote, ByteTokenizer(), tmp_path / "shards", shard_tokens=shard_tokens)
    assert (found.documents, found.text_bytes) == (4, sum(len(text.encode()) for text in TEXTS))
    everything: list[int] = []
    for number, record in enumerate(wrote):
        tokens = found.document(number).tolist()
        assert tokens == [256, *record.text.encode(), 257]
        assert {found.record_at(at) for at in range(len(everything), len(everything) + len(tokens))} == {
            record.id
        }
        everything += tokens
    assert found.tokens == len(everything)
    at = np.arange(found.tokens).reshape(-1, 2)[::-1] if found.tokens % 2 == 0 else np.arange(found.tokens)
    assert np.array_equal(found.take(at), np.array(everything)[at])


def test_the_start_token_ends_too_when_there_is_no_other(tmp_path: Path) -> None:
    same = write_shards(records(["ab"]), ByteTokenizer(document_start_id=256, eos_id=256), tmp_path / "same")
    none = write_shards(
        records(["ab"]), ByteTokenizer(document_start_id=None, eos_id=None), tmp_path / "none"
    )
    assert same.document(0).tolist() == [256, 97, 98]
    assert none.document(0).tolist() == [97, 98]


def test_wide_vocabularies_get_four_bytes(tmp_path: Path) -> None:
    class Wide(ByteTokenizer):
        def encode_batch(self, texts: Sequence[str], *, control: bool = False) -> list[list[int]]:
            return [[70000] for _ in texts]

    found = write_shards(records(["a"]), Wide(vocab_size=70001), tmp_path / "wide")
    assert found.document(0).tolist() == [256, 70000, 257]
    with pytest.raises(TokenizerError, match="gave id 70000"):
        write_shards(records(["a"]), Wide(vocab_size=300), tmp_path / "narrow")


def test_text_bytes_and_digest_follow_the_text(tmp_path: Path) -> None:
    one = write_shards(records(TEXTS), ByteTokenizer(), tmp_path / "one")
    same = write_shards(records(TEXTS), ByteTokenizer(), tmp_path / "same")
    other = write_shards(records([*TEXTS[:3], TEXTS[3].upper()]), ByteTokenizer(), tmp_path / "other")
    assert one.digest == same.digest != other.digest


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write_shards(records(TEXTS), ByteTokenizer(), tmp_path / "shards")
    ShardSet.open(tmp_path / "shards", tokenizer=ByteTokenizer())
    with pytest.raises(TokenizerError, match=r"index\.json: these tokens were made by another tokenizer"):
        ShardSet.open(tmp_path / "shards", tokenizer=ByteTokenizer(eos_id=258))


def test_damage_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "shards"
    write_shards(records(TEXTS), ByteTokenizer(), directory)
    tokens = directory / "tokens-00000.bin"
    whole = tokens.read_bytes()

    tokens.write_bytes(whole[:-2])
    with pytest.raises(DocumentError, match=rf"tokens-00000\.bin has {len(whole) - 2} bytes where"):
        ShardSet.open(directory, verify=False)
    tokens.write_bytes(whole[:-2] + b"\x00\x00")
    with pytest.raises(DocumentError, match=r"tokens-00000\.bin was changed or damaged"):
        ShardSet.open(directory)
    tokens.unlink()
    with pytest.raises(DocumentError, match=r"tokens-00000\.bin is missing"):
        ShardSet.open(directory)

    index = json.loads((directory / "index.json").read_text())
    (directory / "index.json").write_text(json.dumps(index | {"format": 99}))
    with pytest.raises(DocumentError, match=r"index\.json: shard format 99, this version reads 1"):
        ShardSet.open(directory)
    (directory / "index.json").write_text("{")
    with pytest.raises(DocumentError, match=r"index\.json is damaged"):
        ShardSet.open(directory)
    with pytest.raises(DocumentError, match=r"is not a directory of token shards"):
        ShardSet.open(tmp_path)


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "shards"
    before = write_shards(records(TEXTS), ByteTokenizer(), directory).digest

    def breaks() -> object:
        yield from records(["something else"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(breaks(), ByteTokenizer(), directory)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards_module.np, "save", full)
        with pytest.raises(DocumentError, match="the disk is full; make room"):
            write_shards(records(["something else"]), ByteTokenizer(), directory)
    assert ShardSet.open(directory).digest == before
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]

    after = write_shards(records(["something else"]), ByteTokenizer(), directory)
    assert after.documents == 1
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="there is no text to tokenise"):
        write_shards(records(["", ""]), ByteTokenizer(), tmp_path / "empty")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(DocumentError, match="exists and is not a shard set"):
        write_shards(records(TEXTS), ByteTokenizer(), tmp_path / "full")


def test_ids_of_other_kinds_are_kept_as_their_hash(tmp_path: Path) -> None:
    found = write_shards([Record("seven", "text")], ByteTokenizer(), tmp_path / "shards")
    assert found.record_at(0) == record_key("seven") != record_key("eight")
    assert record_key("0123456789abcdef") == "0123456789abcdef"


def test_a_trained_tokenizer_reads_its_shards_back(tmp_path: Path) -> None:
    from shizuku.text.tokenizer import Tokenizer

    texts = ["The cat sat on the mat.\n\nAnd then? <|eos|>", "猫がマットに座った。", "mat cat"] * 3
    tokenizer = Tokenizer.train(texts, 300)
    found = write_shards(records(texts), tokenizer, tmp_path / "shards")
    assert [tokenizer.decode(found.document(number).tolist()) for number in range(9)] == texts
    assert found.document(0)[0] == tokenizer.document_start_id
    assert found.document(0).tolist().count(tokenizer.eos_id) == 1, "text never forges the end of a document"
    tokenizer.save(tmp_path / "tokenizer")
    ShardSet.open(tmp_path / "shards", tokenizer=Tokenizer.load(tmp_path / "tokenizer"))
    with pytest.raises(TokenizerError, match="made by another tokenizer"):
        ShardSet.open(tmp_path / "shards", tokenizer=Tokenizer.train(texts, 299))
