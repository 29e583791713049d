"""Saving and loading checkpoints: equal to what others read, and an error with a name for what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shizuku.checkpoints import directory, memory
from shizuku.checkpoints.directory import (
    check_state,
    load_checkpoint,
    load_model,
    load_run,
    load_tokenizer,
    resolve,
    run_record,
    save_checkpoint,
)
from shizuku.errors import CheckpointError, TokenizerError
from small_models import SHAPES, small_model, small_tokenizer

IDS = torch.arange(24).reshape(2, 12) * 7 % 290


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "model", model=small_model(), tokenizer=small_tokenizer())


# ---- what others read


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_opens_it_with_equal_logits_and_ids(shape: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model, tokenizer = small_model(shape), small_tokenizer()
    path = save_checkpoint(tmp_path / "model", model=model, tokenizer=tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path).eval()
    assert theirs.config.model_type == shape
    with torch.no_grad():
        logits = model(IDS)
        difference = (theirs(IDS).logits - logits).abs().max()
    assert difference < 2e-5 * logits.std()
    text = "the rain in the town <|eos|> 雨"
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    assert their_tokenizer(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(
        text, control=True
    )
    assert theirs.generation_config.bos_token_id == tokenizer.bos_id
    stops = theirs.generation_config.eos_token_id
    assert set(stops if isinstance(stops, list) else [stops]) == set(tokenizer.stop_ids)


@pytest.mark.parametrize("shape", SHAPES)
def test_theirs_opens_here_with_equal_logits(shape: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = save_checkpoint(tmp_path / "model", model=small_model(shape), tokenizer=small_tokenizer())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path).eval()
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists()
    found = load_checkpoint(tmp_path / "theirs")
    assert (found.kind, found.tokenizer, found.run) == ("huggingface", None, {})
    with torch.no_grad():
        torch.testing.assert_close(found.model(IDS), theirs(IDS).logits, rtol=0, atol=2e-5)


def test_what_is_loaded_equals_what_was_saved(saved: Path) -> None:
    found = load_checkpoint(saved)
    model = small_model()
    assert (found.kind, found.path) == ("shizuku", saved)
    assert found.model.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor), name
    assert all(parameter.requires_grad for parameter in found.model.parameters())
    assert not found.model.training
    assert found.tokenizer is not None and found.tokenizer.encode("rain") == small_tokenizer().encode("rain")
    assert load_tokenizer(saved).vocab_size == 290
    assert (saved / "model.safetensors").stat().st_mode == (saved / "config.json").stat().st_mode


def test_an_architecture_of_our_own_comes_back_and_transformers_refuses_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = small_model("gpt2")
    from dataclasses import replace

    from shizuku.models.decoder import Decoder

    odd = Decoder(replace(model.config, positions="none", activation="relu2"))
    path = save_checkpoint(tmp_path / "odd", model=odd)
    again = load_model(path)
    assert again.config == odd.config
    with torch.no_grad():
        assert torch.equal(again(IDS), odd.eval()(IDS))
    with pytest.raises(ValueError, match="shizuku-decoder"):
        transformers.AutoModelForCausalLM.from_pretrained(path)


def test_the_run_record(saved: Path, tmp_path: Path) -> None:
    record = run_record(
        config={"steps": 3}, data={"shards": "ab"}, metrics={"loss": float("nan")}, parent=saved
    )
    path = save_checkpoint(tmp_path / "next", model=small_model(), run=record)
    run = load_run(path)
    assert run["config"] == {"steps": 3} and run["data"] == {"shards": "ab"}
    assert run["metrics"] == {"loss": "nan"}, "JSON has no NaN"
    assert run["parent"] == {"name": str(saved), "digest": directory.checkpoint_digest(saved)}
    assert set(run["files"]) == {"config.json", "model.safetensors"}
    assert run["shizuku"] and run["created"] and "git" in run


def test_the_digest_of_a_checkpoint_is_that_of_its_weights_and_config(saved: Path, tmp_path: Path) -> None:
    same = save_checkpoint(tmp_path / "same", model=small_model(), run={"metrics": {"loss": 1.0}})
    other = save_checkpoint(tmp_path / "other", model=small_model(seed=1), tokenizer=small_tokenizer())
    bare = tmp_path / "bare"
    shutil.copytree(saved, bare)
    (bare / "run.json").unlink()
    digest = directory.checkpoint_digest(saved)
    assert directory.checkpoint_digest(bare) == digest
    assert directory.checkpoint_digest(other) != digest
    assert directory.checkpoint_digest(same) != digest, "its config.json has no token ids"


# ---- replacing


def test_saving_again_replaces_the_checkpoint_and_keeps_other_files(saved: Path) -> None:
    (saved / "metrics.jsonl").write_text("one\n")
    (saved / "logs").mkdir()
    (saved / "logs" / "events").write_text("event")
    with (saved / "metrics.jsonl").open("a") as log:
        save_checkpoint(saved, model=small_model(seed=1))
        log.write("two\n")
    assert (saved / "metrics.jsonl").read_text() == "one\ntwo\n", "an open log goes on in the new directory"
    assert (saved / "logs" / "events").read_text() == "event"
    assert not (saved / "tokenizer.json").exists(), "the new checkpoint has no tokenizer"
    assert torch.equal(
        load_model(saved).state_dict()["embedding.weight"],
        small_model(seed=1).state_dict()["embedding.weight"],
    )
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name], "nothing is left beside it"


def test_extra_files_change_together_with_the_weights(saved: Path) -> None:
    def extra(folder: Path) -> None:
        (folder / "state").mkdir()
        (folder / "state" / "step.json").write_text("7")

    save_checkpoint(saved, model=small_model(), extra=extra)
    check_state(saved)
    (saved / "state" / "step.json").write_text("8")
    load_model(saved)
    with pytest.raises(CheckpointError, match=r"state/step.json is damaged or was changed: its digest is"):
        check_state(saved)

    def fails(folder: Path) -> None:
        raise RuntimeError("no state")

    with pytest.raises(RuntimeError, match="no state"):
        save_checkpoint(saved, model=small_model(seed=1), extra=fails)
    assert torch.equal(
        load_model(saved).state_dict()["embedding.weight"], small_model().state_dict()["embedding.weight"]
    )
    save_checkpoint(saved, model=small_model())
    assert not (saved / "state").exists(), "the state of other weights is not kept"


def test_what_was_hardly_meant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(
        CheckpointError, match=r"file is a file; a checkpoint is a directory: give another --out"
    ):
        save_checkpoint(file, model=small_model())
    full = tmp_path / "full"
    full.mkdir()
    for number in range(1001):
        (full / str(number)).touch()
    with pytest.raises(CheckpointError, match=r"holds no checkpoint, but more than 1000 other files"):
        save_checkpoint(full, model=small_model())
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(CheckpointError, match=r"here is the current directory, or above it"):
        save_checkpoint(".", model=small_model())


def test_a_model_that_could_not_be_loaded_is_not_saved(saved: Path) -> None:
    broken = small_model(seed=1)
    with torch.no_grad():
        broken.blocks[1].attention.query.weight[0, 0] = float("nan")
    with pytest.raises(
        CheckpointError, match=r"1 of the 1024 numbers in blocks.1.attention.query.weight are NaN"
    ):
        save_checkpoint(saved, model=broken)
    load_model(saved)


def test_a_tokenizer_larger_than_the_model_is_not_saved(tmp_path: Path) -> None:
    class Larger:
        vocab_size = 401

    with pytest.raises(CheckpointError, match=r"the tokenizer has 401 ids, but the model only 400"):
        save_checkpoint(tmp_path / "out", model=small_model(), tokenizer=Larger())  # type: ignore[arg-type]


# ---- disks


def test_a_full_disk(tmp_path: Path) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", mount], capture_output=True
    ).returncode:
        pytest.skip("no right to mount a small disk; test_a_file_that_may_not_grow covers the rest")
    try:
        path = save_checkpoint(mount / "model", model=small_model())
        big = small_model("gpt2")
        with pytest.raises(CheckpointError) as caught:
            save_checkpoint(path, model=big, extra=lambda folder: _fill(folder / "filler"))
        _check_full(str(caught.value), path)
        assert [entry.name for entry in mount.iterdir()] == ["model"]
        assert load_model(path).config == small_model().config
    finally:
        subprocess.run(["umount", mount], check=True)


def _fill(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(300):
            file.write(bytes(1000))


def _check_full(message: str, path: Path) -> None:
    assert f"cannot write the checkpoint {path}: " in message
    assert "kB for its weights, and " in message and f" are free in {path.parent}" in message
    assert f"What was in {path} is still there." in message


NO_GROWTH = """
import resource, sys
from pathlib import Path
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.errors import CheckpointError
from small_models import small_model, small_tokenizer
tokenizer = small_tokenizer()
for limit in (500, 5_000, 50_000):  # config.json, tokenizer.json and model.safetensors don't fit, in turn
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save_checkpoint(sys.argv[1], model=small_model(seed=1), tokenizer=tokenizer)
    except CheckpointError as error:
        print(error)
"""


def test_a_file_that_may_not_grow(saved: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_GROWTH, str(saved)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    messages = done.stdout.strip().splitlines()
    assert len(messages) == 3, done.stdout + done.stderr
    for message in messages:
        _check_full(message, saved)
        assert "File too large" in message
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name]
    assert torch.equal(
        load_model(saved).state_dict()["embedding.weight"], small_model().state_dict()["embedding.weight"]
    )


def test_a_disk_known_to_be_too_small(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(saved)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1234))
    with pytest.raises(CheckpointError, match=r"No space left on device. It needs \d+ kB .* 1.2 kB are free"):
        save_checkpoint(saved, model=small_model())
    load_model(saved)


def test_an_unwritable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"checkpoint .*/file/model: .*/file is a file. Choose a place"):
        save_checkpoint(tmp_path / "file" / "model", model=small_model())
    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint /proc/model: "):
        save_checkpoint("/proc/model", model=small_model())


# ---- damage


def test_damaged_files_are_named(saved: Path) -> None:
    weights = saved / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-5])
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged: it has [\d,]+ bytes, expected"):
        load_model(saved)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(
        CheckpointError, match=r"model.safetensors is damaged or was changed: its digest is \w{64}"
    ):
        load_checkpoint(saved)
    load_checkpoint(saved, verify=False)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"weights, model.safetensors, are missing"):
        load_checkpoint(saved)
    weights.write_bytes(whole)
    (saved / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer.json is missing, though run.json lists it"):
        load_checkpoint(saved)


def test_damaged_json_is_named(saved: Path) -> None:
    (saved / "run.json").write_text('{"files": ')
    with pytest.raises(CheckpointError, match=r"run.json cannot be read as JSON"):
        load_checkpoint(saved)
    (saved / "run.json").write_text('{"files": {"../config.json": {"bytes": 1, "blake2b": ""}}}')
    with pytest.raises(CheckpointError, match=r"run.json names a file outside its directory: ../config.json"):
        load_checkpoint(saved)
    (saved / "run.json").unlink()
    (saved / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"config.json holds list, expected a JSON object"):
        load_checkpoint(saved)


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_truncated_foreign_weights_are_named(saved: Path, cut: int) -> None:
    (saved / "run.json").unlink()
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or no safetensors file"):
        load_checkpoint(saved)


def test_a_tampered_header_is_named(saved: Path) -> None:
    (saved / "run.json").unlink()
    weights = saved / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[0:8] = (1 << 60).to_bytes(8, "little")
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or no safetensors file"):
        load_checkpoint(saved)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(saved: Path, bad: float) -> None:
    (saved / "run.json").unlink()
    tensors = load_file(saved / "model.safetensors")
    tensors["model.norm.weight"][3] = bad
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"1 of the 32 numbers in final_norm.weight are NaN or infinite"
    ):
        load_checkpoint(saved)


def test_a_model_larger_than_the_memory_is_refused_before_it_is_read(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 50_000)
    monkeypatch.setattr(directory, "load_weights", lambda *_: pytest.fail("it was read"))
    with pytest.raises(CheckpointError, match=r"needs about 1\d\d kB of memory, but 50.0 kB are available"):
        load_checkpoint(saved)


# ---- paths that hold no checkpoint


def test_what_a_path_holds_instead(tmp_path: Path, saved: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(CheckpointError) as caught:
            resolve(path)
        with pytest.raises(CheckpointError):
            load_checkpoint(path)
        return str(caught.value)

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "empty is an empty directory; expected a checkpoint directory" in message(empty)
    assert "nowhere does not exist; expected a checkpoint directory" in message(tmp_path / "nowhere")
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    assert "text.gguf is no GGUF file: it begins with b'hell', not with b'GGUF'" in message(text)
    nothing = tmp_path / "nothing.gguf"
    nothing.touch()
    assert "nothing.gguf is no GGUF file: it is empty" in message(nothing)
    pickle = tmp_path / "model.pt"
    pickle.write_bytes(b"\x80\x02")
    assert "model.pt is a pickle, which can run code when it is opened and is refused" in message(pickle)
    assert f"give its directory, {saved}" in message(saved / "model.safetensors")
    nothing.unlink()
    text.unlink()
    seen = f"config.json is missing (it holds empty, model, model.pt); there is one in {saved}"
    assert seen in message(tmp_path)
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    assert "has its weights in pytorch_model.bin, a pickle" in message(saved)


def test_a_folder_with_one_gguf_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert resolve(tmp_path) == tmp_path / "a.gguf"
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(
        CheckpointError, match=r"holds several GGUF files \(a.gguf, b.gguf\): give the path of one"
    ):
        resolve(tmp_path)


def test_a_truncated_gguf_is_named(tmp_path: Path) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(4))
    with pytest.raises(CheckpointError, match=r"cut.gguf"):
        load_model(file)


def test_a_checkpoint_without_a_tokenizer(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", model=small_model())
    assert load_checkpoint(path).tokenizer is None
    with pytest.raises(TokenizerError, match="holds no tokenizer"):
        load_tokenizer(path)


def test_nothing_is_ever_unpickled() -> None:
    import re

    for file in Path(directory.__file__).parent.rglob("*.py"):
        assert not re.search(r"\b(import pickle|torch\.load|joblib)\b", file.read_text()), file


def test_json_of_the_config_is_plain(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    assert config["model_type"] == "llama" and config["vocab_size"] == 400
    assert os.access(saved / "run.json", os.R_OK)
