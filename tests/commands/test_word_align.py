"""`shizuku word-align` as a user types it."""

import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import shizuku
from shizuku import cli
from shizuku.checkpoints.alignment import load_alignment
from shizuku.checkpoints.locking import alone_in
from shizuku.errors import CheckpointError, ModelError
from shizuku.text.bitext import Bitext
from shizuku.training.counting.alignment import learn_alignment

WORDS = {"das": "the", "ein": "a", "Haus": "house", "Buch": "book", "Kind": "child", "Pferd": "horse"}
WORDS |= {"sieht": "sees", "kauft": "buys"}


def files(folder: Path) -> tuple[Path, Path]:
    """All sentences of a small grammar and their translations, verb last in the target."""
    source, target = [], []
    for one in ("das Kind", "ein Kind", "das Pferd", "ein Pferd"):
        for verb in ("sieht", "kauft"):
            for other in ("das Haus", "ein Buch", "ein Haus", "das Buch"):
                source.append(f"{one} {verb} {other}")
                subject, what = (" ".join(WORDS[word] for word in some.split()) for some in (one, other))
                target.append(f"{subject} {what} {WORDS[verb]}")
    paths = folder / "source.txt", folder / "target.txt"
    for path, lines in zip(paths, (source, target), strict=True):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


def aligned(folder: Path, *more: str) -> int:
    source, target = files(folder)
    words = ["word-align", "--source", str(source), "--target", str(target), "--out", str(folder / "out")]
    return cli.run([*words, *more])


def test_words_are_aligned_shown_and_put_into_a_table(tmp_path: Path, capsys) -> None:
    assert aligned(tmp_path, "--json", "--iterations", "10", "10") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["sentences"] == 32 and result["nats_per_word"] < 0.1
    out = tmp_path / "out"
    assert (out / "alignments.txt").read_text().splitlines()[0] == "0-0 1-1 2-4 3-2 4-3"
    table = [line.split("\t") for line in (out / "phrases.tsv").read_text().splitlines()[1:]]
    assert {tuple(row[:2]) for row in table} >= set(WORDS.items())
    page = (out / "report.html").read_text()
    assert page.count("<rect") >= 12 * 25 and "Haus" in page
    model = shizuku.load(out / "forward")
    with pytest.raises(CheckpointError, match="word-alignment model"):
        shizuku.load(out / "forward", context=8)
    assert model.translations("Haus")[0] == ("house", pytest.approx(1, abs=0.01)) and model.kind == "2"
    assert load_alignment(out / "backward").translations("house")[0][0] == "Haus"


def test_the_same_again_gives_the_same_files(tmp_path: Path, capsys) -> None:
    seen = []
    for name in ("one", "two"):
        assert aligned(tmp_path, "--no-report", "--iterations", "3", "0", "--out", str(tmp_path / name)) == 0
        seen.append([(tmp_path / name / file).read_bytes() for file in ("alignments.txt", "phrases.tsv")])
    assert seen[0] == seen[1]
    assert load_alignment(tmp_path / "one" / "forward").kind == "1"


def test_the_hidden_markov_model_is_kept_and_opens(tmp_path: Path, capsys) -> None:
    assert aligned(tmp_path, "--no-report") == 0
    place = tmp_path / "out" / "forward"
    found = load_alignment(place)
    assert (
        found.kind == "hmm"
        and found.jumps is not None
        and json.loads((place / "config.json").read_text())["null_share"] == found.jumps.null_share
    )
    links = (tmp_path / "out" / "alignments.txt").read_text().splitlines()
    source, target = (path.read_text(encoding="utf-8").splitlines()[0].split() for path in files(tmp_path))
    assert all(f"{one}-{other}" in links[0] for other, one in enumerate(found.align(source, target)))
    config = (place / "config.json").read_text().replace(str(found.jumps.null_share), "1.5")
    (place / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match="jumps have no sound weights"):
        load_alignment(place, verify=False)


@pytest.mark.parametrize("kind", ["file", "earlier run"])
def test_what_is_at_out_already_stays_and_nothing_is_begun(
    kind: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("shizuku.text.bitext.read_bitext", lambda *a, **k: pytest.fail("it was begun"))
    file = tmp_path / "out" if kind == "file" else tmp_path / "out" / "phrases.tsv"
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    assert aligned(tmp_path) == 2
    assert "is there already: give another place" in capsys.readouterr().err and file.read_text() == "mine"


def test_a_line_that_is_too_long_is_left_out_and_named(tmp_path: Path, capsys) -> None:
    source, target = files(tmp_path)
    lines = source.read_text(encoding="utf-8").splitlines()
    lines[4] = "das " * 201
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["word-align", "--source", str(source), "--target", str(target), "--out", str(tmp_path / "out")]
    assert cli.run([*words, "--no-report", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["sentences"] == 31
    assert "skipped 1: one side has more than 200 words (line 5)" in said.err
    kept = (tmp_path / "out" / "alignments.txt").read_text().split("\n")
    assert len(kept) == 33 and [number for number, line in enumerate(kept, 1) if not line] == [5, 33]


def test_one_word_is_linked_with_one_word(tmp_path: Path, capsys) -> None:
    for name, word in (("source", "hund"), ("target", "dog")):
        (tmp_path / name).write_text(f"{word}\n")
    words = ["--source", str(tmp_path / "source"), "--target", str(tmp_path / "target")]
    assert cli.run(["word-align", *words, "--out", str(tmp_path / "out"), "--no-report"]) == 0
    said = capsys.readouterr().out
    assert "1 sentence, 1 link, 0 phrases in" in said and "; 0.000 nats" in said
    assert (tmp_path / "out" / "alignments.txt").read_text() == "0-0\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda source, target: target.write_text("one line\n"), "has 32 lines and"),
        (lambda source, target: target.write_text(""), "it is empty"),
        (lambda source, target: target.write_bytes(bytes(range(256))), "no text in UTF-8"),
        (lambda source, target: target.unlink(), "there is no such file"),
        (lambda source, target: (target.unlink(), target.mkdir()), "no such file but a folder"),
        (lambda source, target: source.write_text("\n" * 31 + "x " * 201 + "\n"), "at most 200 of them"),
    ],
)
def test_broken_bitexts_are_refused(change, message: str, tmp_path: Path, capsys) -> None:
    source, target = files(tmp_path)
    change(source, target)
    words = ["word-align", "--source", str(source), "--target", str(target), "--out", str(tmp_path / "out")]
    assert cli.run(words) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_empty_lines_are_counted_and_damaged_models_refused(tmp_path: Path, capsys) -> None:
    source, target = files(tmp_path)
    target.write_text(target.read_text().replace("the child the book sees", ""), encoding="utf-8")
    words = ["word-align", "--source", str(source), "--target", str(target), "--out", str(tmp_path / "out")]
    assert cli.run([*words, "--no-report", "--lines", "10"]) == 0
    assert "one side is empty" in capsys.readouterr().err
    assert len((tmp_path / "out" / "alignments.txt").read_text().splitlines()) == 10, "a line for each line"
    (tmp_path / "out" / "forward" / "words.json").write_text("{}")
    with pytest.raises(CheckpointError):
        load_alignment(tmp_path / "out" / "forward")
    with pytest.raises(CheckpointError, match="tables"):
        load_alignment(tmp_path / "out" / "forward", verify=False)


def test_pipes_are_read_and_damaged_archives_named(tmp_path: Path, capsys) -> None:
    source, target = files(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(source.read_bytes()))
    writer.start()
    words = ["word-align", "--target", str(target), "--no-report", "--source"]
    assert cli.run([*words, str(pipe), "--out", str(tmp_path / "out")]) == 0
    writer.join()
    whole = gzip.compress(source.read_bytes() * 50)
    (tmp_path / "s.gz").write_bytes(whole[:60] + bytes(60) + whole[120:])
    assert cli.run([*words, str(tmp_path / "s.gz"), "--out", str(tmp_path / "no")]) == 2
    assert "s.gz: it is no text" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.run([*words, str(source), "--out", "no", "--iterations", "99999999999", "1"])
    assert "1 to 10,000 of all" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_two_runs_into_one_place_are_one_run(tmp_path: Path, capsys) -> None:
    with alone_in(tmp_path / "out"):
        code = (
            "import sys; from test_word_align import aligned; from pathlib import Path; "
            f"sys.exit(aligned(Path({str(tmp_path)!r})))"
        )
        path = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=path, timeout=120
        )
    assert done.returncode == 2 and "another run is at work there" in done.stderr


def test_words_in_one_string_are_refused() -> None:
    model = learn_alignment(Bitext([["ein", "Hund"]], [["a", "dog"]]), iterations=(1, 0)).model
    with pytest.raises(ModelError, match="got one string"):
        model.align("ein Hund", ["a", "dog"])
