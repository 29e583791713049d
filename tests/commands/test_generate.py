"""`shizuku generate` as scripts call it."""

import io
import json
from pathlib import Path

import pytest

from shizuku import cli
from tiny_language_model import tiny_lm


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_lm().save(tmp_path_factory.mktemp("models") / "tiny"))


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.run(["generate", *words])
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


def test_json_has_the_keys_of_the_contract(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(
        capsys,
        model,
        "--prompt",
        "The cat",
        "--max-new-tokens",
        "8",
        "--temperature",
        "0",
        "--seed",
        "3",
        "--json",
    )
    result = json.loads(out)
    assert code == 0
    assert {"text", "tokens", "seconds", "tokens_per_second"} <= set(result)
    assert result["text"] == tiny_lm().generate("The cat", max_new_tokens=8, temperature=0.0)
    assert 1 <= result["tokens"] <= 8


def test_the_text_alone_goes_to_stdout(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = call(capsys, model, "-p", "A boat", "-n", "8", "--temp", "0.9", "--seed", "4")
    assert out == tiny_lm().generate("A boat", max_new_tokens=8, temperature=0.9, seed=4) + "\n"
    assert "tokens/s" in err


def test_short_forms_and_stdin(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("The cat"))
    code, out, _ = call(capsys, "-m", model, "-p", "-", "--max-tokens", "5", "-c", "64", "-t", "1", "--json")
    assert code == 0
    assert json.loads(out)["text"] == tiny_lm().generate("The cat", max_new_tokens=5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "A"], "say which model"),
        (["MODEL", "-m", "other", "-p", "A"], "two models were given"),
        (["MODEL", "-p", "A", "--temperature", "-2"], "--temperature -2.0: expected a number >= 0"),
        (["MODEL", "-p", "A", "-n", "-3"], "--max-new-tokens -3: expected a whole number >= 0"),
        (["MODEL", "-p", "A", "-n", "500"], "--max-new-tokens 500: with the 2 tokens"),
        (["MODEL", "-p", "A", "-c", "999"], "--context 999: the model's context length is 128"),
        (["MODEL", "-p", "A", "-t", "0"], "--threads 0: expected a whole number from 1 to 1024"),
        (["MODEL", "-p", "A", "-t", "20000"], "--threads 20000"),
        (["no/such/model", "-p", "A"], "no/such/model"),
    ],
)
def test_bad_calls_exit_with_2_and_say_what_to_change(
    words: list[str], message: str, model: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = call(capsys, *[model if word == "MODEL" else word for word in words])
    assert (code, out) == (2, "")
    assert message in err
