"""`shizuku train --architecture ngram` as a user types it, and what can be done with what it makes."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import shizuku
from shizuku import cli
from shizuku.checkpoints.arpa import read_arpa
from shizuku.checkpoints.ngram import load_ngram
from shizuku.errors import CheckpointError, ModelError

KINDS, PLACES = ("red cat", "old cat", "red dog", "old dog"), ("mat", "bed")
LINES = [f"the {kind} sleeps on the {place}." for kind in KINDS for place in PLACES]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for number in range(12):
        (folder / f"{number}.txt").write_text("\n".join(LINES[number % 4 :] + LINES) + "\n", encoding="utf-8")
    return folder


def counted(text: Path, out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, object]:
    words = [
        "train",
        "--architecture",
        "ngram",
        "--text",
        str(text),
        "--out",
        str(out),
        "--vocab-size",
        "280",
    ]
    code = cli.run([*words, "--validation", "0.1", "--json", *more])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    result: dict[str, object] = json.loads(printed.out)
    return result


def test_the_loss_that_is_printed_is_said_to_be_of_held_out_text(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--text",
        str(text),
        "--out",
        str(tmp_path / "out"),
        "--vocab-size",
        "280",
        "--validation",
        "0.1",
    ]
    assert cli.run(["train", "--architecture", "ngram", *words]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("loss ") and line.endswith(" nats a token on held-out text"), line


def test_it_is_a_model_like_any_other(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    result = counted(text, out, capsys, "--ngram.order", "4")
    assert {"checkpoint", "tokens_seen", "seconds", "tokens_per_second", "loss"} <= result.keys()
    assert isinstance(result["loss"], float) and result["loss"] < 1.5 and len(result["ngrams"]) == 4
    lm = shizuku.load(out)
    assert lm.generate("the red", max_new_tokens=8, temperature=0.0).startswith(" ")
    model, ids = load_ngram(out).model, lm.tokenizer.encode(LINES[0])
    start = lm.tokenizer.document_start_id
    assert lm.logits(ids)[-1] == pytest.approx(model.next_logprobs(ids), abs=1e-5)
    scored = lm.score([LINES[0]])[0].token_logprobs
    assert scored == pytest.approx(model.logprobs(np.array([start, *ids]))[1:], abs=1e-5)
    code = cli.run(["eval", str(out), "--text", str(text), "--json"])
    assert code == 0 and json.loads(capsys.readouterr().out)["perplexity"] < 5
    with pytest.raises(ModelError, match="no vectors"):
        lm.runtime.hidden([])


def test_a_text_is_the_same_in_any_company(text: Path, tmp_path: Path, capsys) -> None:
    counted(text, tmp_path / "model", capsys)
    lm = shizuku.load(tmp_path / "model")
    prompts = [line[: 4 + number] for number, line in enumerate(LINES)]
    together = lm.generate(prompts, max_new_tokens=100, temperature=0.9, seed=3)
    assert together[2] == lm.generate(prompts, max_new_tokens=100, temperature=0.9, seed=3, batch_size=1)[2]
    assert len(set(together)) > 4


def test_every_smoothing_is_counted_and_written_for_kenlm(text: Path, tmp_path: Path, capsys) -> None:
    losses = {}
    for method in ("kneser-ney", "katz", "jelinek-mercer", "add-k"):
        out = tmp_path / method
        losses[method] = counted(text, out, capsys, "--ngram.smoothing", method, "--ngram.order", "3")["loss"]
        arpa = tmp_path / f"{method}.arpa"
        assert cli.run(["export", str(out), "--format", "arpa", "--out", str(arpa), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["bytes"] == arpa.stat().st_size
        again, _ = read_arpa(arpa)
        ids = np.array(shizuku.load(out).tokenizer.encode(LINES[3]))
        assert again.logprobs(ids)[1:] == pytest.approx(load_ngram(out).model.logprobs(ids)[1:], abs=1e-6)
    assert max(losses, key=losses.__getitem__) == "add-k"


def test_it_is_opened_and_run_without_torch(text: Path, tmp_path: Path, capsys) -> None:
    counted(text, tmp_path / "model", capsys)
    code = (
        f"import sys, shizuku; lm = shizuku.load({str(tmp_path / 'model')!r}); lm.generate('the'); "
        "lm.score(['the cat']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"torch was imported, or it failed: {done.stderr}"


def test_wrong_settings_and_damaged_files_are_refused(text: Path, tmp_path: Path, capsys) -> None:
    words = ["train", "--architecture", "ngram", "--text", str(text), "--out", str(tmp_path / "x")]
    for more, message in (
        (["--dry-run"], "--dry-run: counting takes seconds"),
        (["--seeds", "3"], "--seeds: counting takes seconds"),
        (["--resume"], "--resume: counting"),
        (["--ngram.order", "0"], "--ngram.order"),
        (["--ngram.add", "0"], "--ngram.add"),
        (["--architecture", "llama"], "expected one of decoder"),
        (["--preset", "small", "--steps", "5"], "--preset, --loop.steps: an n-gram model is counted"),
        (["--model.layers", "9", "--z-loss", "0.1"], "--model.layers, --z-loss: an n-gram model is counted"),
        (["--architecture", "decoder", "--ngram.order", "3"], "settings of --architecture ngram"),
    ):
        try:
            code = cli.run([*words, *more])
        except SystemExit as ended:
            code = ended.code
        assert code == 2 and message in capsys.readouterr().err, more
    out = tmp_path / "model"
    counted(text, out, capsys)
    assert cli.run(["export", str(out), "--format", "gguf", "--out", str(tmp_path / "x.gguf")]) == 2
    assert "n-gram" in capsys.readouterr().err
    arrays = load_file(out / "model.safetensors")
    arrays["2.logprobs"][0] = math.nan
    save_file(arrays, out / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"digest|changed|differs"):
        load_ngram(out)
    with pytest.raises(CheckpointError, match="no number"):
        load_ngram(out, verify=False)
