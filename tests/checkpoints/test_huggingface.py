"""Directories in the Hugging Face layout: read whole, or refused with the name of what is wrong."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from shizuku.checkpoints.huggingface import load_weights, read_config, to_huggingface
from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder, DecoderConfig, initialise

CONFIG = DecoderConfig(
    vocab_size=64, context=16, width=32, layers=2, heads=4, kv_heads=2, ffn_width=48, tie_embeddings=False
)
OWN = DecoderConfig(vocab_size=64, context=16, width=32, layers=2, heads=4, ffn_width=48, gated=False)


def written(directory: Path, config: DecoderConfig = CONFIG) -> Decoder:
    """A model with random weights, and its directory."""
    model = Decoder(config)
    initialise(model, 0)
    keys, tensors = to_huggingface(config, model.state_dict())
    (directory / "config.json").write_text(json.dumps(keys))
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    return model


def change(directory: Path, **changes: Tensor | None) -> None:
    """Replace, add or remove (None) tensors of a written directory."""
    tensors = load_file(directory / "model.safetensors")
    for name, tensor in changes.items():
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
    save_file(tensors, directory / "model.safetensors")


def assert_same(directory: Path, model: Decoder) -> None:
    weights = load_weights(directory)
    assert read_config(directory) == model.config
    assert weights.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert weights[name].dtype == torch.float32
        assert torch.equal(weights[name], tensor), name


@pytest.mark.parametrize("config", [CONFIG, OWN], ids=["llama", "own"])
def test_what_is_written_is_read_again(config: DecoderConfig, tmp_path: Path) -> None:
    assert_same(tmp_path, written(tmp_path, config))


def test_our_own_kind_is_refused_by_transformers(tmp_path: Path) -> None:
    written(tmp_path, OWN)
    with pytest.raises(ValueError, match="shizuku-decoder"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path)


def test_shards_are_read(tmp_path: Path) -> None:
    model = written(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    sharded = tmp_path / "sharded"
    theirs.save_pretrained(sharded, max_shard_size="20KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert_same(sharded, model)
    first = sorted(sharded.glob("*.safetensors"))[0]
    first.unlink()
    with pytest.raises(CheckpointError, match=f"names the shard {first.name}, which is missing"):
        load_weights(sharded)


def test_shards_outside_the_directory_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "../elsewhere.safetensors"}}))
    with pytest.raises(CheckpointError, match="not a file of its directory"):
        load_weights(tmp_path)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match="has no weight_map"):
        load_weights(tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    model = written(tmp_path)
    narrow = {key: value.to(dtype) for key, value in load_file(tmp_path / "model.safetensors").items()}
    save_file(narrow, tmp_path / "model.safetensors")
    for name, tensor in load_weights(tmp_path).items():
        assert torch.equal(tensor, model.state_dict()[name].to(dtype).float())


def test_checkpoints_of_the_bare_model_and_old_buffers_are_read(tmp_path: Path) -> None:
    model = written(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    bare["layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(bare, tmp_path / "model.safetensors")
    assert_same(tmp_path, model)


def test_a_tied_output_matrix_may_stand_in_the_file_if_it_is_the_embedding(tmp_path: Path) -> None:
    tied = DecoderConfig(vocab_size=64, context=16, width=32, layers=1, heads=4, ffn_width=48)
    model = written(tmp_path, tied)
    change(tmp_path, **{"lm_head.weight": model.embedding.weight.detach().clone()})
    assert_same(tmp_path, model)
    change(tmp_path, **{"lm_head.weight": torch.zeros(64, 32)})
    with pytest.raises(CheckpointError, match=r"ties the embeddings, but lm_head\.weight differs"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.norm.weight": None}, r"1 tensors are missing: model\.norm\.weight"),
        (
            {"model.layers.1.mlp.up_proj.bias": torch.ones(48)},
            r"not part of the model: model\.layers\.1\.mlp\.up",
        ),
        ({"lm_head.weight": torch.ones(63, 32)}, r"lm_head\.weight has shape \[63, 32\]; .* \[64, 32\]"),
        ({"lm_head.weight": torch.ones(64, 32).to(torch.int8)}, r"lm_head\.weight is of type torch\.int8"),
    ],
)
def test_wrong_tensors_are_named(changes: dict, message: str, tmp_path: Path) -> None:
    written(tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_weights(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("keep", [0, 4, 100, 5000, -1])
def test_truncated_weights_are_refused_by_file(keep: int, tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or no safetensors file"):
        load_weights(tmp_path)


def test_pickles_are_refused_with_advice(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin, a pickle, .*save_pretrained"):
        load_weights(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors nor"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "cannot be read as JSON"), ("[]", "expected a JSON object")]
)
def test_a_broken_config_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=rf"config\.json .*{message}"):
        read_config(tmp_path)


def test_an_unknown_mechanism_names_the_file_and_the_key(tmp_path: Path) -> None:
    written(tmp_path)
    keys = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(keys | {"num_local_experts": 8}))
    with pytest.raises(CheckpointError, match=r"config\.json: config key 'num_local_experts' = 8"):
        read_config(tmp_path)
