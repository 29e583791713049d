"""Quantised directories without torch: the numbers of the torch path, and its refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from packed_files import assert_equal, in_order
from safetensors.torch import load_file, save_file

from shizuku.checkpoints import memory
from shizuku.checkpoints.directory import load_checkpoint, load_model, save_checkpoint
from shizuku.checkpoints.packed import open_packed
from shizuku.errors import CheckpointError
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.scheme import SCHEMES, Scheme
from shizuku.quantization.surgery import dequantize, matrices, pack_layer
from small_models import small_model, small_tokenizer


def save_packed(path: Path, scheme: Scheme, shape: str = "llama") -> Path:
    model = small_model(shape)
    for name, layer in matrices(model, keep=["*.key"]).items():
        rounded = quantize_matrix(layer.weight, scheme)
        pack_layer(model, name, rounded.layout, rounded.arrays)
    return save_checkpoint(path, model=model, tokenizer=small_tokenizer())


@pytest.mark.parametrize("name", [*SCHEMES, "asymmetric8", "rows"])
def test_every_scheme_gives_the_numbers_of_the_torch_path(name: str, tmp_path: Path) -> None:
    others = {"asymmetric8": Scheme(bits=8, group_size=32), "rows": Scheme(bits=4, group_size=0)}
    path = save_packed(tmp_path / "m", others.get(name) or SCHEMES[name], "gpt2")
    packed, model = open_packed(path), load_model(path)
    dequantize(model)
    assert packed.config == model.config
    assert_equal(packed.tensors, in_order(model.config, model.state_dict()))
    blocks = {"int8": "q8_0", "int4": "q4_1", "gptq4": "q4_1", "gptq3": "q4_1", "rows": "q4_1"}
    assert packed.tensors["blocks.0.feedforward.up.weight"].kind == blocks.get(name, "f32")
    assert packed.tensors["blocks.0.attention.key.weight"].kind == "f32"
    assert packed.tokenizer is not None and packed.kind == "shizuku"


def damaged(path: Path, **changes: torch.Tensor | None) -> None:
    (path / "run.json").unlink()
    tensors = {**load_file(path / "model.safetensors"), **changes}
    save_file({k: v for k, v in tensors.items() if v is not None}, path / "model.safetensors")


UP = "blocks.1.feedforward.up"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("int4", {f"{UP}.numbers": None}, f"1 tensors are missing: {UP}.numbers"),
        ("int4", {f"{UP}.weight": torch.ones(64, 32)}, f"1 tensors are not part of the model: {UP}.weight"),
        ("int4", {f"{UP}.scales": torch.full((64, 1), torch.nan).half()}, f"tensor {UP}.scales holds num"),
        ("int4", {f"{UP}.scales": torch.ones(64, 1)}, f"tensor {UP}.scales is .* quantization says .*16"),
        ("int4", {"final_norm.weight": torch.ones(31)}, r"final_norm.weight is .*\[31\]; .* says .* \[32\]"),
        ("outlier4", {f"{UP}.outlier_counts": torch.zeros(64, dtype=torch.uint8)}, "counts sum to 0; the"),
        ("outlier4", {f"{UP}.outlier_columns": torch.full((10,), 32).byte()}, "column outside of the 32"),
    ],
)  # fmt: skip
def test_damage_is_told_as_the_torch_path_tells_it(
    name: str, change: dict, message: str, tmp_path: Path
) -> None:
    path = save_packed(tmp_path / "m", SCHEMES[name])
    damaged(path, **change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match=message) as ours:
        open_packed(path)
    assert str(ours.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["quantization"].update(format=9), "format is 9; this version of Shizuku reads 1"),
        (lambda c: c.pop("quantization"), "layers is missing"),
        (lambda c: c["quantization"]["layers"][UP].update(shape=[64, 31]), "in the model; its layout says"),
        (
            lambda c: c["quantization"]["layers"].update(nowhere=c["quantization"]["layers"][UP]),
            "the model has no layer nowhere",
        ),
    ],
)
def test_layouts_that_make_no_sense_are_refused(change, message: str, tmp_path: Path) -> None:
    path = save_packed(tmp_path / "m", SCHEMES["int4"])
    keys = json.loads((path / "config.json").read_text())
    change(keys)
    (path / "config.json").write_text(json.dumps(keys))
    (path / "run.json").unlink()
    for load in (load_checkpoint, open_packed):
        with pytest.raises(CheckpointError, match=message):
            load(path)


def test_what_is_unpacked_has_to_fit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_packed(tmp_path / "m", SCHEMES["codebook4"])
    stored = (path / "model.safetensors").stat().st_size
    unpacked = sum(tensor.data.nbytes for tensor in open_packed(path).tensors.values())
    assert unpacked > 2 * stored
    monkeypatch.setattr(memory, "available_memory", lambda: int(np.mean([stored, unpacked])))
    with pytest.raises(CheckpointError, match="unpacked where it must be, needs about"):
        open_packed(path)
