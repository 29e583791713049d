"""Adapters in PEFT's format: equal logits there and here, both ways, every number random."""

import json

import numpy as np
import pytest
import torch
from adapter_parts import randomise
from safetensors.numpy import load_file, save_file

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import adapter_weights, attach, put_weights
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.checkpoints.peft import from_peft, to_peft
from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder
from small_models import small_model

KINDS = {
    "lora": AdapterConfig(rank=4, alpha=6),
    "rslora": AdapterConfig(rank=4, alpha=3, rank_stabilised=True),
    "dora": AdapterConfig(rank=3, dora=True),
    "some": AdapterConfig(rank=2, targets=("blocks.*.attention.query", "blocks.1.feedforward.down")),
}
IDS = torch.randint(400, (2, 12), generator=torch.Generator().manual_seed(7))


def theirs(model: Decoder, folder):
    from transformers import AutoModelForCausalLM

    save_checkpoint(folder, model=model)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def close(one: torch.Tensor, other: torch.Tensor) -> None:
    assert (one - other).abs().max() < 2e-5 * other.std(), (one - other).abs().max() / other.std()


@pytest.mark.parametrize(("shape", "kind"), [
    *[("llama", kind) for kind in KINDS], ("qwen3", "lora"), ("gpt2", "lora"), ("gpt2", "some"),
])  # fmt: skip
def test_peft_opens_ours_with_equal_logits(shape, kind, tmp_path) -> None:
    from peft import PeftModel

    model = small_model(shape)
    base = theirs(model, tmp_path / "base")
    attach(model, KINDS[kind])
    randomise(model)
    weights = adapter_weights(model)
    config, tensors = to_peft(model.config, weights)
    again = from_peft(model.config, config, tensors)
    assert again.config.scale == pytest.approx(weights.config.scale)
    assert again.layers.keys() == weights.layers.keys()
    for layer, low_rank in weights.layers.items():
        for name in ("a_RI", "b_OR", "length_O"):
            np.testing.assert_array_equal(getattr(again.layers[layer], name), getattr(low_rank, name))
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, tmp_path / "adapter" / "adapter_model.safetensors")
    with torch.no_grad():
        plain = base(IDS).logits.clone()
        opened = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        assert (opened(IDS).logits - plain).std() > 0.1 * plain.std()
        close(model(IDS), opened(IDS).logits)


@pytest.mark.parametrize(("shape", "modules", "more"), [
    ("llama", ["q_proj", "v_proj", "down_proj"], {}),
    ("llama", "all-linear", {"use_dora": True}),
    ("llama", ["o_proj"], {"use_rslora": True}),
    ("gpt2", ["c_attn", "c_proj", "c_fc"], {"fan_in_fan_out": True}),
])  # fmt: skip
def test_ours_opens_pefts_with_equal_logits(shape, modules, more, tmp_path) -> None:
    from peft import LoraConfig, get_peft_model

    model = small_model(shape)
    adapted = get_peft_model(
        theirs(model, tmp_path / "base"),
        LoraConfig(r=4, lora_alpha=10, target_modules=modules, task_type="CAUSAL_LM", **more),
    )
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_magnitude" in name:
                parameter.mul_(1 + torch.rand(parameter.shape, generator=generator) / 2)
            elif "lora_" in name:
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(drawn / parameter.shape[1] ** 0.5 / 2)
    adapted.eval().save_pretrained(tmp_path / "adapter")
    foreign = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    plain = model(IDS).detach()
    put_weights(model, from_peft(model.config, foreign, tensors))
    with torch.no_grad():
        assert (model(IDS) - plain).std() > 0.1 * plain.std()
        close(model(IDS), adapted(IDS).logits)


def test_what_is_not_known_is_refused() -> None:
    model = small_model()
    attach(model, KINDS["lora"])
    config, tensors = to_peft(model.config, adapter_weights(model))
    for changes, match in (
        ({"peft_type": "IA3"}, "IA3"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"alpha_pattern": {"q_proj": 3}}, "alpha_pattern"),
        ({"init_lora_weights": "pissa_niter_16"}, "what that left of the base"),
        ({"lora_alpha": None}, "expected numbers"),
        ({"a_new_mechanism": True}, "a_new_mechanism"),
        ({"r": 5}, "rank 4, but 5"),
    ):
        with pytest.raises(CheckpointError, match=match):
            from_peft(model.config, {**config, **changes}, tensors)
    stranger = {
        **tensors,
        "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight": np.zeros((4, 32)),
    }
    with pytest.raises(CheckpointError, match=r"layers\.7.*another"):
        from_peft(model.config, config, stranger)
    half = {name: array for name, array in tensors.items() if "q_proj.lora_B" not in name}
    with pytest.raises(CheckpointError, match="q_proj"):
        from_peft(model.config, config, half)
