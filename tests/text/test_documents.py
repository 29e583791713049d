"""Documents in and out, and what bad input says."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from shizuku.errors import DocumentError
from shizuku.text.documents import Document, Problems, document_id, read_documents, write_documents

RECORDS = [{"text": "one"}, {"text": "二つ目", "source": "町", "id": "abc"}, {"text": "three"}]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()


def texts(*paths: Path, **options: object) -> list[str]:
    return [document.text for document in read_documents(list(paths), **options)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_json_lines_are_read_plain_and_compressed(tmp_path: Path, suffix: str) -> None:
    pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.ZstdCompressor().compress}[
        suffix
    ]
    file = tmp_path / f"a{suffix}"
    file.write_bytes(pack(LINES))
    first, second, third = read_documents([file])
    assert (first.text, second.text, third.text) == ("one", "二つ目", "three")
    assert (second.id, second.source) == ("abc", "町")
    assert (third.id, third.source) == (document_id(str(file), 2), str(file))


def test_zstandard_frames_one_after_another_are_all_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.zst"
    compress = zstandard.ZstdCompressor().compress
    file.write_bytes(compress(LINES) + compress(LINES))
    assert texts(file) == ["one", "二つ目", "three"] * 2


def test_text_and_markdown_are_one_document_each_in_sorted_order(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfline\r\nnext")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_text("# 雫")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden.txt").write_text("no")
    assert texts(tmp_path) == ["line\nnext", "# 雫"]


def test_parquet_goes_out_and_comes_back(tmp_path: Path) -> None:
    documents = [Document(f"id{i}", f"text {i}", f"source {i % 3}") for i in range(1500)]
    file = tmp_path / "a.parquet"
    assert write_documents(iter(documents), file) == 1500
    assert list(read_documents([file])) == documents


def test_a_named_field_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x", None, "y"], "n": [1, 2, 3]}), tmp_path / "a.parquet")
    problems = Problems()
    assert texts(tmp_path / "a.parquet", field="body", problems=problems) == ["x", "y"]
    assert problems.report() == f"skipped 1: field 'body' is not a string ({tmp_path / 'a.parquet'}, row 1)"


def test_reading_is_streamed(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES + b'{"text": 5}\n')
    problems = Problems()
    stream = read_documents([file], problems=problems)
    assert next(stream).text == "one"
    assert not problems


def test_broken_lines_are_skipped_counted_and_reported(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(
        b'{"text": "good"}\n{broken\n\xff\xfe\n[1]\n{"text": " "}\n\n{"text": "\\ud83d"}\n{"t": 1}\n{}\n'
    )
    problems = Problems()
    assert texts(file, problems=problems) == ["good"]
    assert dict(problems.counts) == {
        "not JSON": 1,
        "not UTF-8": 1,
        "not a JSON object": 1,
        "no text": 1,
        "half of a surrogate pair": 1,
        "no field 'text'": 2,
    }
    assert f"skipped 1: not JSON ({file}:2)" in problems.report()
    assert f"skipped 2: no field 'text' ({file}:8, {file}:9)" in problems.report()


def test_text_that_is_not_utf8_is_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "good.txt").write_text("good")
    problems = Problems()
    assert texts(tmp_path, problems=problems) == ["good"]
    assert problems.report() == f"skipped 1: not UTF-8 ({tmp_path / 'bad.txt'}, byte 2)"


def test_a_broken_off_gzip_gives_what_came_before(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    many = b"".join(json.dumps({"text": f"{i} {i * 7919 % 1009}"}).encode() + b"\n" for i in range(20_000))
    file.write_bytes(gzip.compress(many)[:-5000])
    problems = Problems()
    assert len(texts(file, problems=problems)) > 100
    assert "compressed file is damaged after this line" in problems.report()


def bad_inputs(root: Path) -> dict[str, tuple[Path, str]]:
    """Each bad input with what its error must say."""
    made: dict[str, tuple[Path, str]] = {}

    def file(name: str, data: bytes, message: str) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        made[name] = (path, message)

    file("empty.txt", b"", r"no text in .*empty.txt: skipped 1: no text .*--text")
    file("empty.jsonl", b"", r"no text in .*: the files are empty. Give --text")
    file("empty.parquet", b"", r"empty.parquet is not a Parquet file that can be read")
    file("junk.txt", bytes(range(256)) * 20, r"junk.txt is binary .* expected UTF-8 text")
    file("junk.jsonl", b"\x00\x01\x02\xff\n" * 10, r"junk.jsonl holds no JSON record in 10 lines")
    file("junk.jsonl.gz", b"not gzip at all", r"junk.jsonl.gz is not the compressed file its name says")
    file("junk.jsonl.zst", b"not zstandard", r"junk.jsonl.zst is not the compressed file its name says")
    file("junk.parquet", b"PAR1 no", r"junk.parquet is not a Parquet file")
    file("wide.txt", "wide".encode("utf-16"), r"wide.txt is UTF-16; expected UTF-8")
    file(
        "fields.jsonl", b'{"title": "a", "body": "b"}\n', r"has no field 'text'; it has: title, body.*--field"
    )
    file("model.bin", b"x", r"model.bin is not a kind of file that can be read: expected .txt, .md, .jsonl")
    file("folder/readme.rst", b"x", r"folder holds no .txt, .*It holds readme.rst")
    made["folder"] = (root / "folder", made.pop("folder/readme.rst")[1])
    made["missing"] = (root / "nowhere", r"nowhere does not exist. Check the path given to --text")
    pq.write_table(pa.table({"body": ["x"]}), root / "fields.parquet")
    made["fields.parquet"] = (root / "fields.parquet", r"has no field 'text'; it has: body")
    return made


BAD = (
    *(
        "empty.txt",
        "empty.jsonl",
        "empty.parquet",
        "junk.txt",
        "junk.jsonl",
        "junk.jsonl.gz",
        "junk.jsonl.zst",
    ),
    *("junk.parquet", "wide.txt", "fields.jsonl", "model.bin", "folder", "missing", "fields.parquet"),
)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_says_what_is_wrong(tmp_path: Path, name: str) -> None:
    path, message = bad_inputs(tmp_path)[name]
    with pytest.raises(DocumentError, match=message):
        list(read_documents([path]))


def test_no_path_and_a_truncated_parquet_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no path was given"):
        list(read_documents([]))
    file = tmp_path / "a.parquet"
    write_documents([Document("i", "x" * 1000, "s")], file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DocumentError, match="is not a Parquet file that can be read"):
        list(read_documents([file]))


def test_an_unwritable_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="could not write"):
        write_documents([Document("i", "x", "s")], tmp_path / "no" / "such" / "folder.parquet")
