"""Packed weights without torch: equal to the torch path to the last bit, and its errors in the same words."""

import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from decoders import CONFIGS, random_model
from safetensors.torch import load_file, save_file

from shizuku.checkpoints import memory, replacing
from shizuku.checkpoints.directory import load_checkpoint, save_checkpoint
from shizuku.checkpoints.gguf import open_gguf, write_gguf
from shizuku.checkpoints.packed import open_packed
from shizuku.errors import CheckpointError
from shizuku.models.decoder import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes
from shizuku.quantization.packed import BLOCKS, PackedTensor
from small_models import small_model, small_tokenizer

SCALES = {
    "q8_0": [0],
    "q4_0": [0],
    "q4_1": [0, 1],
    "q5_0": [0],
    "q4_k": [0, 1],
    "q5_k": [0, 1],
    "q6_k": [104],
}
"""Which float16 of a block are its scales."""


def values(tensor: PackedTensor) -> torch.Tensor:
    """A packed tensor's numbers, by the format's own package."""
    kind = gguf.GGMLQuantizationType[tensor.kind.upper()]
    return torch.from_numpy(np.array(gguf.quants.dequantize(np.ascontiguousarray(tensor.data), kind)))


def assert_equal(tensors: Any, expected: dict[str, torch.Tensor]) -> None:
    """Every tensor, bit for bit, of its shape and with whole rows."""
    assert list(tensors) == list(expected)
    for name, tensor in tensors.items():
        whole = expected[name] if expected[name].dim() == 2 else expected[name][None]
        assert tensor.shape == tuple(whole.shape), name
        assert tensor.data.dtype == np.uint8 and tensor.data.flags.c_contiguous
        block, block_bytes = BLOCKS[tensor.kind]
        assert tensor.data.shape == (tensor.shape[0], tensor.shape[1] // block * block_bytes), name
        assert torch.equal(values(tensor), whole), name
        assert tensor.kind == "f32" or expected[name].dim() == 2


def in_order(config: DecoderConfig, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: weights[name] for name in parameter_shapes(config)}


# ---- GGUF


def random_blocks(shape: tuple[int, ...], kind: str, random: np.random.Generator) -> np.ndarray:
    """Any bytes are quantised numbers, as long as the scales are finite."""
    block, block_bytes = BLOCKS[kind]
    count = shape[0] * shape[1] // block
    blocks = random.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    halves = blocks.view("<f2")
    for place in SCALES[kind]:
        halves[:, place] = random.normal(0, 0.01, count)
    return blocks.reshape(shape[0], -1)


def write_kind(path: Path, config: DecoderConfig, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GGUF file whose matrices are random blocks of a kind."""
    random, add = np.random.default_rng(0), gguf.GGUFWriter.add_tensor

    def add_random(self: gguf.GGUFWriter, name: str, data: np.ndarray, **rest: Any) -> None:
        if data.ndim == 2 and kind in SCALES:
            rest["raw_dtype"] = gguf.GGMLQuantizationType[kind.upper()]
            data = random_blocks(data.shape, kind, random)
        add(self, name, data, **rest)

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", add_random)
    write_gguf(
        path, config, random_model(config).state_dict(), file_type=kind if kind in ("f16", "bf16") else "f32"
    )


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


# ---- damage


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
