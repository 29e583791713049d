"""`shizuku eval` as scripts call it."""

import json
from pathlib import Path

import pytest

from shizuku import cli
from shizuku.evaluation.perplexity import evaluate_text
from tiny_language_model import TEXT, tiny_lm


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_lm().save(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.run(["eval", *words])
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


def test_json_has_the_keys_of_the_contract(
    model: str, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, model, "--text", str(text), "--window", "32", "--stride", "8", "--json")
    result = json.loads(out)
    wanted = evaluate_text(tiny_lm(), TEXT, window=32, stride=8)
    assert code == 0
    assert result["tokens"] == wanted.tokens
    assert result["bytes"] == len(TEXT.encode())
    assert result["perplexity"] == pytest.approx(wanted.perplexity, rel=1e-5)
    assert result["bits_per_byte"] == pytest.approx(wanted.bits_per_byte, rel=1e-5)
    assert (result["window"], result["stride"]) == (32, 8)


def test_people_read_both_measures_and_how_they_were_taken(
    model: str, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = call(capsys, "-m", model, "--text", str(text))
    assert "perplexity" in out
    assert "bits per byte" in out
    assert "128, 64 tokens; every token scored once" in out


def test_jsonl_fields_and_skipped_lines(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"body": "The cat sat."}\nbroken\n{"body": "A boat."}\n', encoding="utf-8")
    code, out, err = call(capsys, model, "--text", str(path), "--field", "body", "--json")
    assert code == 0
    assert (json.loads(out)["documents"], json.loads(out)["bytes"]) == (2, len("The cat sat.A boat."))
    assert "1" in err, "the broken line is reported"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL", "--text", "nowhere.txt"], "nowhere.txt"),
        (["--text", "TEXT"], "say which model"),
        (
            ["MODEL", "--text", "TEXT", "--window", "4096"],
            "--window 4096: expected 2 up to the model's context",
        ),
        (["MODEL", "--text", "TEXT", "--stride", "128"], "--stride 128: expected 1 to 127"),
        (
            ["MODEL", "--source", "TEXT", "--target", "TEXT", "--baseline", "MODEL"],
            "--baseline: for models that are measured on",
        ),
    ],
)
def test_bad_calls_exit_with_2_and_say_what_to_change(
    words: list[str], message: str, model: str, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *[{"MODEL": model, "TEXT": str(text)}.get(word, word) for word in words])
    assert (code, out) == (2, "")
    assert message in err


def test_a_baseline_is_measured_on_the_same_text(
    model: str, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(tiny_lm(seed=1).save(tmp_path / "other"))
    code, out, _ = call(capsys, model, "--text", str(text), "--baseline", other, "--json")
    result = json.loads(out)
    assert code == 0 and result["baseline"] == other
    saved = result["baseline_bits_per_byte"] - result["bits_per_byte"]
    assert result["bits_per_byte_saved"]["mean"] == pytest.approx(saved, abs=1e-9)
    for more in (["--window", "64", "--stride", "4"], ["--window", "32"], []):
        _, out, _ = call(capsys, model, "--text", str(text), "--baseline", model, "--json", *more)
        assert json.loads(out)["bits_per_byte_saved"]["mean"] == 0, "nothing is better than itself"
    _, out, _ = call(capsys, model, "--text", str(text), "--baseline", other)
    assert "one document, so no interval" in out
    (tmp_path / "more.txt").write_text("A boat went over the lake.", encoding="utf-8")
    _, out, _ = call(capsys, model, "--text", str(text), str(tmp_path / "more.txt"), "--baseline", other)
    assert "over 2 documents redrawn" in out
    code, _, err = call(capsys, model, "--text", str(text), "--baseline", "nowhere")
    assert code == 2 and "nowhere" in err
