"""A whole life, small: every stage through the parts a user calls, its files, its keys and its report."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from in_browser import faults
from shizuku.errors import DocumentError
from shizuku.life.corpus import GATHERED, prepare
from shizuku.text.documents import Document, write_documents

pytestmark = pytest.mark.slow

KEYS = {
    "checkpoint", "seconds", "parameters", "tokens_seen", "tokens_per_second", "flops",
    "bits_per_byte", "heldout_bytes", "overlap", "sample", "report", "base", "answers",
}  # fmt: skip


def shizuku(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "shizuku", *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("town") / "life"
    done = shizuku("life", "--minutes", "0.5", "--out", str(out), "--vocab-size", "1024", "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_result_has_the_keys_of_the_contract(life: tuple[Path, dict[str, object]]) -> None:
    out, result = life
    assert set(result) == KEYS
    bits = result["bits_per_byte"]
    assert isinstance(bits, dict) and set(bits) == {"model", "ngram", "xz", "xz_primed"}
    assert all(0.05 < value < 8 for value in bits.values())
    assert Path(str(result["checkpoint"])) == out / "model"
    assert isinstance(result["overlap"], float) and 0 <= result["overlap"] < 0.5


def test_the_tuned_model_is_examined_and_its_base_is_kept(life: tuple[Path, dict[str, object]]) -> None:
    out, result = life
    answers = result["answers"]
    assert isinstance(answers, dict)
    assert {"exact_sums", "exact_rephrased", "exact_unasked", "supported", "invents", "stops"} < set(answers)
    assert all(
        0 <= share <= 1 for name, share in answers.items() if name not in ("questions", "facts_taught")
    )
    assert (out / "base" / "model.safetensors").is_file() and result["base"] == str(out / "base")
    stages = json.loads((out / "life.json").read_text(encoding="utf-8"))["stages"]
    asked = stages["ask"]["result"]
    assert {one["examination"] for one in asked["samples"]} == set(asked["examinations"])
    assert stages["tune"]["result"]["loss"] < 6


def test_others_open_the_checkpoint(life: tuple[Path, dict[str, object]]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import shizuku as package

    lm = package.load(life[0] / "model")
    ids = lm.tokenizer.encode("It was a bright morning.")
    theirs = AutoModelForCausalLM.from_pretrained(life[0] / "model")
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
    ours = torch.from_numpy(lm.logits(ids))
    assert (ours - expected).abs().max() < 2e-5 * expected.std()
    assert AutoTokenizer.from_pretrained(life[0] / "model").encode("It was", add_special_tokens=False) == (
        lm.tokenizer.encode("It was")
    )


def test_the_report_is_one_file_that_fetches_nothing(life: tuple[Path, dict[str, object]]) -> None:
    page = (life[0] / "report.html").read_text(encoding="utf-8")
    for heading in (
        "What it learned",
        "What it answers",
        "What it writes",
        "Is it true?",
        "The text",
        "Why this size",
        "Go on",
    ):
        assert f">{heading}</h2>" in page
    assert page.count("<svg") >= 5
    assert "<script" not in page and 'src="http' not in page and "@import" not in page


def test_the_report_has_no_faults_in_a_browser(life: tuple[Path, dict[str, object]], chromium: Any) -> None:
    assert not faults(chromium, life[0] / "report.html")


def test_a_finished_life_is_not_begun_again(life: tuple[Path, dict[str, object]]) -> None:
    out, result = life
    refused = shizuku("life", "--minutes", "0.5", "--out", str(out), "--vocab-size", "1024", "--json")
    assert refused.returncode == 2 and "--resume goes on with it" in refused.stderr
    again = shizuku(
        "life", "--minutes", "0.5", "--out", str(out), "--vocab-size", "1024", "--json", "--resume"
    )
    assert again.returncode == 0, again.stderr
    repeated = json.loads(again.stdout)
    assert {key: repeated[key] for key in KEYS - {"seconds"}} == {
        key: result[key] for key in KEYS - {"seconds"}
    }


def test_text_of_ones_own(tmp_path: Path, data_pack: Path) -> None:
    text, out = data_pack / "text" / "tinyshakespeare.txt", tmp_path / "life"
    settings = ["--minutes", "0.4", "--vocab-size", "600", "--json"]
    done = shizuku("life", "--text", str(text), "--out", str(out), *settings)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == KEYS
    assert result["heldout_bytes"] >= 100_000
    assert set(result["answers"]) == {"questions", "stops", "exact"}


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "no text in"), ("too short", "too few for a life")],
)
def test_too_little_text_says_so(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    done = shizuku(
        "life", "--text", str(tmp_path / "a.txt"), "--minutes", "0.2", "--out", str(tmp_path / "life")
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_small_text_gets_the_vocabulary_that_it_allows_and_a_short_window_its_samples(
    tmp_path: Path, data_pack: Path
) -> None:
    text, out = tmp_path / "notes.txt", tmp_path / "life"
    text.write_text((data_pack / "text" / "tinyshakespeare.txt").read_text()[:60_000])
    done = shizuku(
        "life", "--text", str(text), "--out", str(out), "--minutes", "0.3", "--context", "32", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "this text allows a vocabulary of" in done.stderr
    assert set(json.loads(done.stdout)) == KEYS


def test_a_place_that_cannot_be_written_is_no_defect(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = shizuku("life", "--minutes", "0.2", "--out", str(tmp_path / "file" / "life"))
    assert done.returncode == 2 and "Not a directory" in done.stderr and "--out" in done.stderr
    assert "defect" not in done.stderr and "Traceback" not in done.stderr


def test_a_dry_run_says_how_the_time_is_shared_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A text.", encoding="utf-8")
    out = tmp_path / "life"
    arguments = ("life", "--text", str(tmp_path / "a.txt"), "--minutes", "2", "--out", str(out), "--dry-run")
    plan = json.loads(shizuku(*arguments, "--json").stdout)
    assert plan["files"] == 1 and plan["bytes"] == 7
    assert sum(plan["budget"].values()) == pytest.approx(120, abs=0.5)
    assert plan["budget"]["train"] == max(plan["budget"].values()) > 40 and not out.exists()
    assert "budget" in shizuku(*arguments).stdout


def test_ctrl_c_says_how_to_go_on_and_that_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shizuku", "life", "--minutes", "0.3", "--out", str(tmp_path / "life")]
    command += ["--vocab-size", "512", "--json"]
    # A shell that starts work in the background leaves SIGINT ignored in it; a terminal does not.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("clean"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "with --resume" in rest
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0 and set(json.loads(done.stdout)) == KEYS, done.stderr
    assert "gather     done before" in done.stderr


def test_a_text_without_sentences_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    lines = [f"line {number} of a list of many things" for number in range(3000)]
    documents = [Document(id=f"{n:016x}", text="\n".join(lines[n::10]), source=str(n)) for n in range(10)]
    write_documents(documents, tmp_path / GATHERED)
    with pytest.raises(DocumentError, match="no exercise can be made of the training text"):
        prepare(["text"], tmp_path, heldout_bytes=5000, seed=0)
