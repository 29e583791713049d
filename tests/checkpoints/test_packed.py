"""Packed weights without torch: equal to the torch path to the last bit, and its errors in the same words."""

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from decoders import CONFIGS, random_model
from packed_files import assert_equal, in_order, values, write_kind
from safetensors.torch import load_file, save_file

from shizuku.checkpoints import replacing
from shizuku.checkpoints.directory import load_checkpoint, save_checkpoint
from shizuku.checkpoints.gguf import open_gguf, write_gguf
from shizuku.checkpoints.packed import open_packed
from shizuku.quantization.packed import BLOCKS
from small_models import small_model, small_tokenizer

# ---- GGUF


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_gguf_type_equals_the_torch_path(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Llama's queries and keys stand in another rotary order in the file, and have biases here."""
    config = replace(CONFIGS["llama"], width=256, head_width=32, heads=8, kv_heads=2, ffn_width=512, layers=1)
    write_kind(tmp_path / "m.gguf", config, kind, monkeypatch)
    packed = open_packed(tmp_path / "m.gguf")
    assert packed.config == config
    assert packed.tensors["blocks.0.attention.query.weight"].kind == kind
    assert_equal(packed.tensors, in_order(config, open_gguf(tmp_path / "m.gguf")[1]))


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "llama"])
def test_every_gguf_architecture_equals_the_torch_path(name: str, tmp_path: Path) -> None:
    """Fused queries, keys and values, norms with an offset, position tables, biases."""
    model = random_model(CONFIGS[name])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), file_type="q8_0")
    packed = open_packed(tmp_path / "m.gguf")
    assert packed.config == model.config
    assert packed.metadata["general.architecture"] == name
    assert packed.tensors["blocks.1.attention.value.weight"].kind == "q8_0"
    assert_equal(packed.tensors, in_order(model.config, open_gguf(tmp_path / "m.gguf")[1]))


def test_rows_that_stand_together_are_views_of_the_mapped_file(tmp_path: Path) -> None:
    for name, copied in (("llama", True), ("qwen3", False), ("bloom", False)):
        model = random_model(CONFIGS[name])
        write_gguf(tmp_path / f"{name}.gguf", model.config, model.state_dict(), file_type="q4_0")
        tensors = open_packed(tmp_path / f"{name}.gguf").tensors
        assert not tensors["blocks.0.attention.value.weight"].data.flags.owndata
        assert not tensors["blocks.0.attention.value.weight"].data.flags.writeable
        assert tensors["blocks.0.attention.query.weight"].data.flags.writeable == copied


def test_vectors_are_float32_whatever_they_are_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = gguf.GGUFWriter.add_tensor

    def narrow(self: gguf.GGUFWriter, name: str, data: np.ndarray, **rest: Any) -> None:
        if data.ndim == 1:
            kind = gguf.GGMLQuantizationType.BF16 if "ffn" in name else gguf.GGMLQuantizationType.F16
            data, rest["raw_dtype"] = gguf.quants.quantize(data, kind), kind
        add(self, name, data, **rest)

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", narrow)
    model = random_model(CONFIGS["gemma3"])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict())
    assert_equal(
        open_packed(tmp_path / "m.gguf").tensors, in_order(model.config, open_gguf(tmp_path / "m.gguf")[1])
    )


def test_the_real_smollm2_equals_the_torch_path(smollm2_gguf: Path) -> None:
    packed = open_packed(smollm2_gguf)
    config, weights, _ = open_gguf(smollm2_gguf)
    assert packed.config == config and packed.kind == "gguf" and packed.tokenizer is not None
    assert 95e6 < packed.bytes < smollm2_gguf.stat().st_size
    assert {tensor.kind for tensor in packed.tensors.values()} == {"f32", "q4_1", "q8_0"}
    names = ("embedding.weight", "blocks.7.attention.key.weight", "blocks.29.feedforward.down.weight")
    for name in names:
        assert torch.equal(values(packed.tensors[name]), weights[name])


# ---- directories


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", [*CONFIGS, "ours"])
def test_directories_of_every_family_equal_the_torch_path(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    """GPT-2's matrices are turned over, GPT-NeoX's and BLOOM's heads stand together."""
    config = CONFIGS.get(name) or replace(CONFIGS["llama"], parallel_residual=True)
    path = save_checkpoint(tmp_path / "m", model=random_model(config), dtype=dtype, generation={"top_k": 3})
    packed, expected = open_packed(path), load_checkpoint(path)
    assert packed.config == config == expected.model.config
    kind = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}[dtype]
    assert packed.tensors["embedding.weight"].kind == kind
    assert_equal(packed.tensors, expected.model.state_dict())
    assert (packed.run, packed.generation, packed.kind) == (expected.run, expected.generation, "shizuku")
    assert (packed.metadata["model_type"] == "shizuku-decoder") == (name == "ours")


def test_shards_double_precision_and_a_tied_output_matrix(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "m", model=small_model(), tokenizer=small_tokenizer())
    (path / "run.json").unlink()
    tensors = load_file(path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.mlp.up_proj.weight"] = tensors["model.layers.0.mlp.up_proj.weight"].double() / 3
    names = list(tensors)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, some in parts.items():
        save_file({name: tensors[name] for name in some}, path / file)
    index = {"weight_map": {name: file for file, some in parts.items() for name in some}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "model.safetensors").unlink()
    packed = open_packed(path)
    assert packed.kind == "huggingface" and packed.run == {}
    assert_equal(packed.tensors, load_checkpoint(path).model.state_dict())
    assert packed.tokenizer is not None
    assert packed.tokenizer.encode("the rain") == small_tokenizer().encode("the rain")


# ---- other processes, and torch


@pytest.mark.parametrize("exchange", [True, False])
def test_a_directory_replaced_again_and_again_is_never_read_half(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each save has weights and a run record of its own; what is read belongs together."""
    if not exchange:
        monkeypatch.setattr(replacing, "_exchange", lambda made, target: False)
    models = [small_model(seed=seed) for seed in range(2)]
    target, enough = tmp_path / "model", threading.Event()
    save_checkpoint(target, model=models[0], run={"metrics": {"seed": 0}})

    def save_on() -> None:
        for seed in cycle((1, 0)):
            save_checkpoint(target, model=models[seed], run={"metrics": {"seed": seed}})
            if enough.is_set():
                break

    thread = threading.Thread(target=save_on)
    thread.start()
    seen = [0, 0]
    try:
        while sum(seen) < 60 or not all(seen):
            packed = open_packed(target)
            seed = packed.run["metrics"]["seed"]
            assert_equal(packed.tensors, models[seed].state_dict())
            seen[seed] += 1
    finally:
        enough.set()
        thread.join()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "model", model=small_model(), tokenizer=small_tokenizer())


WITHOUT_TORCH = """
import sys
from shizuku.checkpoints.names import resolve
from shizuku.checkpoints.contents import read_contents
from shizuku.checkpoints.packed import open_packed
for place in sys.argv[1:]:
    path = resolve(place)
    read_contents(path)
    packed = open_packed(path)
    ids = packed.tokenizer.encode_chat([{"role": "user", "content": "Hello"}])
    assert packed.tokenizer.decode(ids) and packed.bytes
print(*sorted(name for name in ("torch", "jaxtyping", "pyarrow", "tyro") if name in sys.modules))
"""


def test_nothing_of_it_imports_torch(saved: Path, tmp_path: Path) -> None:
    tokenizer = small_tokenizer()
    file = tmp_path / "m.gguf"
    write_gguf(file, small_model().config, small_model().state_dict(), tokenizer, file_type="q4_0")
    foreign = tmp_path / "foreign"
    shutil.copytree(saved, foreign)
    (foreign / "run.json").unlink()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_TORCH, saved, foreign, file],
        env=dict(os.environ), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("\n", "")
