"""Experts in files: one by one, or all in one tensor; and configs that say what we don't have."""

from pathlib import Path

import pytest
import torch
import transformers
from published_configs import PUBLISHED
from safetensors.torch import load_file, save_file

from shizuku.checkpoints.families import families
from shizuku.checkpoints.huggingface import config_from_huggingface, load_weights, read_config
from shizuku.errors import CheckpointError
from shizuku.models.decoder import DecoderConfig
from shizuku.training.cost import active_parameters

TINY = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["mixtral", "olmoe", "qwen3_moe"])
def test_experts_in_one_tensor_are_those_that_stand_alone(kind: str, tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model(
        kind, **TINY, num_local_experts=3, num_experts_per_tok=2,
        **({"moe_intermediate_size": 8} if kind == "qwen3_moe" else {}),
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    places = {}
    for name, original in {"single": True, "together": False}.items():
        places[name] = tmp_path / name
        model.save_pretrained(places[name], save_original_format=original)
    together = load_file(places["together"] / "model.safetensors")
    assert together["model.layers.0.mlp.experts.gate_up_proj"].dim() == 3
    first, second = (load_weights(place) for place in places.values())
    assert first.keys() == second.keys() and any(".experts.2.gate." in name for name in first)
    assert all(torch.equal(first[name], second[name]) for name in first)
    short = {
        **together,
        "model.layers.1.mlp.experts.down_proj": together["model.layers.1.mlp.experts.down_proj"][:2],
    }
    save_file(short, places["together"] / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 tensors are missing: .*layers\.1\..*experts\.2\."):
        load_weights(places["together"], read_config(places["together"]))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("olmoe", {"clip_qkv": 8.0}, "'clip_qkv' = 8.0 is not understood"),
        ("qwen3_moe", {"num_experts": 4, "num_local_experts": 8}, "given twice and differs"),
        ("qwen3_moe", {"num_experts_per_tok": 9, "num_experts": 8}, "experts_per_token is 9"),
        ("qwen3_moe", {"shared_expert_intermediate_size": 8}, "shared_expert_intermediate_size"),
        ("dots1", {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2}, "'n_group' = 2"),
    ],
)
def test_mechanisms_that_are_missing_are_refused(kind: str, changes: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        config_from_huggingface({"model_type": kind, **TINY, **changes})


def test_defaults_and_sparse_steps() -> None:
    mixtral = config_from_huggingface({"model_type": "mixtral", **TINY})
    assert (mixtral.experts, mixtral.experts_per_token, mixtral.expert_width) == (8, 2, 24)
    stepped = {"model_type": "qwen3_moe", **TINY, "decoder_sparse_step": 2, "num_experts": 8}
    config = config_from_huggingface(stepped)
    assert config.sparse == (False, True) and config.expert_width == 768 and not config.normalise_experts
    written = families()["qwen3_moe"].write(config)
    assert written is not None and written["mlp_only_layers"] == [0] and written["num_experts"] == 8


def test_dense_configs_never_become_mixtures_nor_the_other_way() -> None:
    dense = DecoderConfig(vocab_size=32, context=16, width=16, layers=2, heads=2, ffn_width=24)
    for kind in ("mixtral", "olmoe", "qwen3_moe", "dots1"):
        assert families()[kind].write(dense) is None


@pytest.mark.parametrize(
    ("name", "billions"), [("mixtral-8x7b-v0.1", 12.88), ("olmoe-1b-7b-0924", 1.28), ("qwen3-30b-a3b", 3.35)]
)
def test_published_mixtures_have_their_active_size(name: str, billions: float) -> None:
    assert active_parameters(config_from_huggingface(PUBLISHED[name][1])) / 1e9 == pytest.approx(
        billions, abs=0.01
    )
