"""What is wrong with a checkpoint is told without torch as it is told with it."""

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from decoders import CONFIGS, random_model
from packed_files import SCALES, assert_equal, write_kind
from safetensors.torch import load_file, save_file

from shizuku.checkpoints import checked, memory
from shizuku.checkpoints.digests import file_digest
from shizuku.checkpoints.directory import load_checkpoint, save_checkpoint
from shizuku.checkpoints.gguf import write_gguf
from shizuku.checkpoints.packed import open_packed
from shizuku.errors import CheckpointError
from shizuku.quantization.packed import BLOCKS
from small_models import small_model, small_tokenizer


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "model", model=small_model(), tokenizer=small_tokenizer())


def change(path: Path, changes: dict[str, torch.Tensor | None]) -> None:
    (path / "run.json").unlink()
    tensors = {**load_file(path / "model.safetensors"), **changes}
    save_file({k: v for k, v in tensors.items() if v is not None}, path / "model.safetensors")


def cut(count: int) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        (path / "run.json").unlink()
        data = (path / "model.safetensors").read_bytes()
        (path / "model.safetensors").write_bytes(data[:count])

    return apply


def flip(path: Path) -> None:
    data = bytearray((path / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "model.safetensors").write_bytes(data)


def changed_tensors(**changes: torch.Tensor | None) -> Callable[[Path], None]:
    return lambda path: change(path, {name.replace("_0_", "."): value for name, value in changes.items()})


NORM, TIED = "model_0_norm_0_weight", "lm_head_0_weight"
BAD_NORM = torch.where(torch.arange(32) % 16 == 3, torch.nan, torch.ones(32))
BAD_MATRIX = torch.zeros(400, 32, dtype=torch.bfloat16).index_fill_(0, torch.tensor([7, 399]), torch.inf)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "damaged or was changed: its digest is"),
        (lambda path: (path / "tokenizer.json").unlink(), "tokenizer.json is missing, though run.json lists"),
        (lambda path: (path / "config.json").write_text("{"), "config.json cannot be read as JSON"),
        (lambda path: (path / "model.safetensors").unlink(), "weights, model.safetensors, are missing"),
        (changed_tensors(**{NORM: None}), "1 tensors are missing: model.norm.weight"),
        (changed_tensors(stray=torch.ones(3)), "1 tensors are not part of the model: stray"),
        (changed_tensors(**{NORM: torch.ones(31)}), r"model.norm.weight has shape \[31\]; .* says \[32\]"),
        (changed_tensors(**{TIED: torch.zeros(400, 32)}), "ties the embeddings, but lm_head.weight differs"),
        (changed_tensors(**{NORM: BAD_NORM}), "2 of the 32 numbers in final_norm.weight are NaN or inf"),
        (
            changed_tensors(model_0_embed_tokens_0_weight=BAD_MATRIX),
            "64 of the 12800 numbers in embedding.weight are NaN or infinite",
        ),
        (cut(0), "model.safetensors is damaged or no safetensors file: "),
        (cut(4), "model.safetensors is damaged or no safetensors file: "),
        (cut(100), "model.safetensors is damaged or no safetensors file: "),
        (cut(-1), "model.safetensors is damaged or no safetensors file: "),
    ],
)  # fmt: skip
def test_damage_is_told_as_the_torch_path_tells_it(
    damage: Callable[[Path], None], message: str, saved: Path
) -> None:
    damage(saved)
    with pytest.raises(CheckpointError, match=message) as theirs:
        load_checkpoint(saved)
    with pytest.raises(CheckpointError, match=message) as ours:
        open_packed(saved)
    # Behind "no safetensors file" stands what the library says, or what our own reader does.
    same = slice(None, str(theirs.value).find("no safetensors file") if "no safe" in message else None)
    assert str(ours.value)[same] == str(theirs.value)[same]


def test_digests_are_not_compared_where_that_is_not_wanted(saved: Path) -> None:
    flip(saved)
    assert_equal(
        open_packed(saved, verify=False).tensors, load_checkpoint(saved, verify=False).model.state_dict()
    )


def test_a_header_that_lies_is_refused(saved: Path) -> None:
    (saved / "run.json").unlink()
    data = (saved / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    name = "model.norm.weight"
    start, end = header[name]["data_offsets"]
    for place in (
        [start - 4, end - 4], [start, end + 4], [end, start], [start], "here", [-4, start], [start, 1 << 70]
    ):  # fmt: skip
        text = json.dumps(header | {name: header[name] | {"data_offsets": place}}).encode()
        (saved / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or no safetensors file"):
            open_packed(saved)
    for shape in ([31], [32, 1, 2], [1 << 70], [-32], [True] * 32, "32"):
        text = json.dumps(header | {name: header[name] | {"shape": shape}}).encode()
        (saved / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or no safetensors file"):
            open_packed(saved)
    for text in (b"[]", b"{", b"\xff", b'{"a": 1}', b'{"a": {"dtype": "F32"}}'):
        (saved / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
        with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or no safetensors file"):
            open_packed(saved)


def test_what_no_kind_can_hold_is_named(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(saved, {"model.layers.1.mlp.up_proj.weight": torch.ones(64, 32, dtype=torch.int8)})
    with pytest.raises(
        CheckpointError, match=r"model: tensor model.layers.1.mlp.up_proj.weight is of type I8"
    ):
        open_packed(saved)
    add = gguf.GGUFWriter.add_tensor

    def add_rare(self: gguf.GGUFWriter, name: str, data: np.ndarray, **rest: Any) -> None:
        if name == "blk.1.ffn_up.weight":
            rest["raw_dtype"] = gguf.GGMLQuantizationType.Q8_K
            data = np.zeros((data.shape[0], 292), np.uint8)
        add(self, name, data, **rest)

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", add_rare)
    config = replace(CONFIGS["qwen3"], width=256)
    write_gguf(tmp_path / "m.gguf", config, random_model(config).state_dict())
    with pytest.raises(CheckpointError, match=r"m.gguf: tensor blk.1.ffn_up.weight is of type Q8_K, .* q6_k"):
        open_packed(tmp_path / "m.gguf")


@pytest.mark.parametrize("kind", SCALES)
def test_scales_that_are_not_finite_are_refused_as_the_torch_path_does(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIGS["qwen3"], width=256, heads=8, ffn_width=256, layers=1)
    path = tmp_path / "m.gguf"
    write_kind(path, config, kind, monkeypatch)
    place = gguf.GGUFReader(path)
    entry = next(tensor for tensor in place.tensors if tensor.name == "blk.0.ffn_up.weight")
    whole, (block, block_bytes) = path.read_bytes(), BLOCKS[kind]
    for number in SCALES[kind]:
        for bad in (np.nan, -np.inf):
            data = bytearray(whole)
            at = int(entry.data_offset) + 5 * block_bytes + 2 * number
            data[at : at + 2] = np.float16(bad).tobytes()
            path.write_bytes(data)
            message = f"{block} of the 65536 numbers in blocks.0.feedforward.up.weight are NaN or infinite"
            with np.errstate(all="ignore"), pytest.raises(CheckpointError, match=message) as theirs:
                load_checkpoint(path)
            with pytest.raises(CheckpointError) as ours:
                open_packed(path)
            assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("keep", [0, 3, 4, 20, 24, 60, 700, 0.2, 0.5, 0.999])
def test_truncated_gguf_files_are_refused_as_the_torch_path_does(keep: float, tmp_path: Path) -> None:
    model = random_model(CONFIGS["llama"])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), file_type="q8_0")
    data, path = (tmp_path / "m.gguf").read_bytes(), tmp_path / "cut.gguf"
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"cut\.gguf.*(truncated|damaged|no GGUF file)") as theirs:
        load_checkpoint(path)
    with pytest.raises(CheckpointError) as ours:
        open_packed(path)
    assert str(ours.value) == str(theirs.value)


def test_junk_in_a_gguf_header_never_crashes(tmp_path: Path) -> None:
    model = random_model(CONFIGS["llama"])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), file_type="q8_0")
    data, path = (tmp_path / "m.gguf").read_bytes(), tmp_path / "bad.gguf"
    random, front = np.random.default_rng(1), data.find(b"token_embd") + 2000
    survived = 0
    for _ in range(300):
        broken, at = bytearray(data), int(random.integers(0, front))
        broken[at : at + 8] = random.bytes(8)
        path.write_bytes(broken)
        try:
            open_packed(path)
            survived += 1
        except CheckpointError as error:
            assert "bad.gguf" in str(error)
    assert survived < 200


def test_a_pulled_file_that_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path))
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    model = random_model(CONFIGS["llama"])
    write_gguf(folder / "m.gguf", model.config, model.state_dict())
    entry = {"bytes": (folder / "m.gguf").stat().st_size, "sha256": "0" * 64}
    record = {"name": "small", "file": "m.gguf", "files": {"m.gguf": entry}}
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(
        CheckpointError, match=r"m.gguf is damaged or was changed: its digest is .* expected 0"
    ):
        open_packed(folder / "m.gguf")
    assert_equal(open_packed(folder / "m.gguf", verify=False).tensors, model.state_dict())


def test_only_the_packed_bytes_have_to_fit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(CONFIGS["llama"])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), file_type="q4_0")
    size = (tmp_path / "m.gguf").stat().st_size
    monkeypatch.setattr(memory, "available_memory", lambda: size)
    with pytest.raises(CheckpointError, match=r"m.gguf needs about .* of memory"):
        load_checkpoint(tmp_path / "m.gguf")
    open_packed(tmp_path / "m.gguf")
    monkeypatch.setattr(memory, "available_memory", lambda: size - 1)
    for path in (tmp_path / "m.gguf", saved):
        with pytest.raises(
            CheckpointError, match=rf"{path} needs about [\d.]+ kB of memory, but [\d.]+ kB are"
        ):
            open_packed(path)


# ---- digests that are remembered


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound pulled file, as large and as long unchanged as digests are remembered of."""
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(checked, "SETTLED", 0.0)
    monkeypatch.setattr(checked, "SMALL", 0)
    folder = tmp_path / "home" / "models" / "small"
    folder.mkdir(parents=True)
    model = random_model(CONFIGS["llama"])
    write_gguf(folder / "m.gguf", model.config, model.state_dict())
    data = (folder / "m.gguf").read_bytes()
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    record = {"name": "small", "file": "m.gguf", "files": {"m.gguf": entry}}
    (folder / "model.json").write_text(json.dumps(record))
    return folder / "m.gguf"


@pytest.fixture
def digested(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What has been digested in full."""
    paths = []

    def digest(path: Path, algorithm: str) -> str:
        paths.append(path)
        return file_digest(path, algorithm)

    monkeypatch.setattr(checked, "file_digest", digest)
    return paths


def test_a_file_is_digested_once_and_again_when_it_has_changed(pulled: Path, digested: list[Path]) -> None:
    for _ in range(3):
        open_packed(pulled)
    load_checkpoint(pulled)
    assert len(digested) == 1
    data, before = bytearray(pulled.read_bytes()), pulled.stat()
    data[-1] ^= 1
    pulled.write_bytes(data)
    os.utime(pulled, ns=(before.st_atime_ns, before.st_mtime_ns))  # whoever changes a file may hide it so
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"m.gguf is damaged or was changed: its digest is"):
            open_packed(pulled)
    assert len(digested) == 2
    data[-1] ^= 1
    pulled.write_bytes(data)
    for notes in ("{", "[]", '{"a": 1}', json.dumps({str(pulled): 5})):
        (pulled.parents[2] / "checked.json").write_text(notes)
        open_packed(pulled)
        open_packed(pulled)
    assert len(digested) == 6, "damaged notes are only notes"


def test_files_of_a_directory_are_remembered_too(saved: Path, pulled: Path, digested: list[Path]) -> None:
    for _ in range(3):
        open_packed(saved)
    names = sorted(path.name for path in digested)
    assert names == sorted(json.loads((saved / "run.json").read_text())["files"])
    flip(saved)
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged or was changed"):
        open_packed(saved)


def test_small_files_and_files_that_have_just_changed_are_read_every_time(
    pulled: Path, digested: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another change within the same tick of the clock would not show in a file's times."""
    for name, value in (("SETTLED", 60.0), ("SMALL", 1 << 30)):
        with monkeypatch.context() as patch:
            patch.setattr(checked, name, value)
            open_packed(pulled)
            open_packed(pulled)
    assert len(digested) == 4
    assert not (pulled.parents[2] / "checked.json").exists()


def test_only_so_many_are_remembered_and_a_home_that_cannot_be_written_is_no_error(
    pulled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked, "MOST", 3)
    for number in range(5):
        (tmp_path / str(number)).write_text("text")
        checked.known_digest(tmp_path / str(number))
    notes = json.loads((tmp_path / "home" / "checked.json").read_text())
    assert [Path(name).name for name in notes] == ["2", "3", "4"]
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path / "file"))
    assert checked.known_digest(tmp_path / "0") == file_digest(tmp_path / "0")
