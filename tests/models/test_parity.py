"""Equal to transformers, both ways; and dropping any mechanism is seen."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import transformers
from peers import (
    CONFIGS,
    TOLERANCE,
    built,
    difference,
    our_signals,
    ours,
    peer,
    peer_signals,
    randomise,
    token_ids,
)
from safetensors.torch import save_file

from shizuku.checkpoints.huggingface import to_huggingface
from shizuku.checkpoints.weights import expected_shapes
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.decoder_config import RotaryScaling


@pytest.mark.parametrize("name", CONFIGS)
def test_their_model_gives_the_same_logits_and_residuals_here(name: str, tmp_path: Path) -> None:
    theirs = peer(name)
    signals = our_signals(ours(theirs, tmp_path), token_ids())
    expected = peer_signals(theirs, token_ids())
    assert set(signals) == set(expected)
    for key, signal in expected.items():
        assert difference(signals[key], signal) < TOLERANCE, key


@pytest.mark.parametrize("name", CONFIGS)
def test_our_model_gives_the_same_logits_and_residuals_there(name: str, tmp_path: Path) -> None:
    config = ours(peer(name), tmp_path).config
    model = Decoder(config).eval()
    randomise(model, seed=5)
    keys, tensors = to_huggingface(config, model.state_dict())
    written = tmp_path / "written"
    transformers.AutoConfig.for_model(**keys).save_pretrained(written)
    save_file(tensors, written / "model.safetensors", metadata={"format": "pt"})
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        written, attn_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    expected = peer_signals(theirs.eval(), token_ids())
    for key, signal in our_signals(model, token_ids()).items():
        assert difference(signal, expected[key]) < TOLERANCE, key


FLIPS = [
    ("gpt2", {"activation": "relu"}),
    ("gpt2", {"norm_eps": 1e-2}),
    ("gpt2", {"positions": "none"}),
    ("gpt2", {"norm": "rmsnorm", "norm_bias": False}),
    ("gpt2", {"norm_bias": False}),
    ("gpt2", {"attention_bias": False}),
    ("gpt2", {"attention_output_bias": False}),
    ("gpt2", {"mlp_bias": False}),
    ("llama_grouped_tied", {"rope_theta": 100.0}),
    ("llama_grouped_tied", {"positions": "none"}),
    ("llama_grouped_tied", {"norm_eps": 1e-3}),
    ("llama_grouped_tied", {"activation": "gelu"}),
    ("llama_grouped_tied", {"activation": "relu2"}),
    ("llama_grouped_tied", {"norm": "layernorm"}),
    ("llama_grouped_tied", {"gated": False}),
    ("llama_grouped_tied", {"sliding_window": 12}),
    ("llama_untied_biased", {"tie_embeddings": True}),
    ("llama_untied_biased", {"attention_bias": False}),
    ("llama_untied_biased", {"attention_output_bias": False}),
    ("llama_untied_biased", {"mlp_bias": False}),
    ("llama_untied_biased", {"activation": "silu"}),
    ("qwen3_windowed", {"qk_norm": False}),
    ("qwen3_windowed", {"sliding_window": None, "sliding_layers": None}),
    ("qwen3_windowed", {"sliding_window": 8}),
    ("qwen3_windowed", {"sliding_layers": (True, True, True)}),
    ("qwen3_windowed", {"rope_theta": 1000.0}),
    ("qwen3_windowed", {"norm_eps": 1e-3}),
    ("qwen3_full", {"rope_theta": 9000.0}),
    ("llama_llama3", {"rope_scaling": RotaryScaling()}),
    ("llama_llama3", {"rope_scaling.factor": 4.0}),
    ("llama_llama3", {"rope_scaling.low_frequency": 2.0}),
    ("llama_llama3", {"rope_scaling.high_frequency": 8.0}),
    ("llama_llama3", {"rope_scaling.original_context": 32}),
    ("llama_linear", {"rope_scaling": RotaryScaling()}),
    ("llama_dynamic", {"context": 160}),
    ("mistral_yarn", {"rope_scaling": RotaryScaling()}),
    ("mistral_yarn", {"rope_scaling.factor": 3.0}),
    ("mistral_yarn", {"rope_scaling.original_context": 64}),
    ("mistral_yarn", {"rope_scaling.fast_turns": 32.0}),
    ("mistral_yarn", {"rope_scaling.slow_turns": 1.0}),
    ("mistral_yarn", {"rope_scaling.whole_features": False}),
    ("mistral_yarn", {"rope_scaling.temperature": 1.0}),
    ("mistral_yarn", {"sliding_window": None}),
    ("qwen2", {"attention_bias": False}),
    ("qwen2", {"sliding_layers": (False, True, True)}),
    ("olmo2", {"norm_placement": "before"}),
    ("olmo2", {"norm_placement": "both"}),
    ("olmo2", {"qk_norm": False, "qk_norm_joint": False}),
    ("olmo2", {"qk_norm_joint": False}),
    ("granite", {"attention_scale": None}),
    ("granite", {"embedding_multiplier": 1.0}),
    ("granite", {"residual_multiplier": 1.0}),
    ("granite", {"logit_multiplier": 1.0}),
    ("gemma3", {"norm_offset": False}),
    ("gemma3", {"norm_placement": "before"}),
    ("gemma3", {"norm_placement": "after"}),
    ("gemma3", {"attention_scale": None}),
    ("gemma3", {"attention_cap": 5.0}),
    ("gemma3", {"logit_cap": None}),
    ("gemma3", {"embedding_multiplier": 1.0}),
    ("gemma3", {"rope_local_theta": None}),
    ("gemma3", {"rope_scaling": RotaryScaling()}),
    ("gemma3", {"rope_theta": 10_000.0}),
    ("gemma3", {"sliding_layers": (True, True, True)}),
    ("gemma2", {"attention_cap": None}),
    ("gemma2", {"logit_cap": None}),
    ("gemma2", {"attention_scale": None}),
    ("gpt_neox_parallel", {"parallel_residual": False}),
    ("gpt_neox_parallel", {"rotary_share": 1.0}),
    ("gpt_neox_parallel", {"rotary_share": 0.125}),
    ("gpt_neox_parallel", {"shared_norm": True}),
    ("gpt_neox_sequential", {"parallel_residual": True}),
    ("gpt_neo", {"attention_scale": None}),
    ("gpt_neo", {"sliding_window": None, "sliding_layers": None}),
    ("gpt_neo", {"sliding_layers": (True, False, True)}),
    ("bloom", {"positions": "none"}),
    ("bloom", {"positions": "rotary"}),
    ("bloom", {"embedding_norm": False}),
    ("phi", {"shared_norm": False, "parallel_residual": False}),
    ("phi", {"unembedding_bias": False}),
    ("phi", {"rotary_share": 0.45}),
    ("mixtral", {"experts_per_token": 1}),
    ("mixtral", {"normalise_experts": False}),
    ("mixtral", {"router_score": "sigmoid"}),
    ("olmoe", {"normalise_experts": True}),
    ("olmoe", {"qk_norm_joint": False}),
    ("qwen3_moe", {"sparse_layers": None}),
    ("dots1", {"router_score": "softmax"}),
    ("dots1", {"router_bias": False}),
    ("dots1", {"shared_experts": 0}),
    ("dots1", {"shared_experts": 1}),
    ("dots1", {"expert_multiplier": 1.0}),
]
IN_TRAINING = {"router_bias_rate", "balance_coefficient", "router_z_coefficient", "capacity_factor"}
"""Fields that change nothing in a forward pass outside of training; test_experts.py has them."""


def changed(config: DecoderConfig, changes: dict) -> DecoderConfig:
    """The config with some fields, or fields of its rotary scaling, of other values."""
    scaling = {name.partition(".")[2]: value for name, value in changes.items() if "." in name}
    plain = {name: value for name, value in changes.items() if "." not in name}
    return replace(config, **({"rope_scaling": replace(config.rope_scaling, **scaling)} | plain))


def test_every_mechanism_is_dropped_by_some_flip() -> None:
    sizes = {"vocab_size", "width", "layers", "heads", "kv_heads", "head_width", "ffn_width"}
    sizes |= {"experts", "expert_width"}
    flipped = {name.partition(".")[0] for _, changes in FLIPS for name in changes}
    assert {field.name for field in fields(DecoderConfig)} - sizes - IN_TRAINING == flipped
    within = {name.partition(".")[2] for _, changes in FLIPS for name in changes} - {""}
    assert {field.name for field in fields(RotaryScaling)} - {"kind"} == within


@pytest.mark.parametrize(("name", "changes"), FLIPS, ids=lambda value: str(value).replace(" ", ""))
@torch.no_grad()
def test_dropping_or_changing_a_mechanism_breaks_parity(name: str, changes: dict, tmp_path: Path) -> None:
    theirs = peer(name)
    right = ours(theirs, tmp_path)
    config = changed(right.config, changes)
    wrong = Decoder(config).eval()
    shapes = expected_shapes(config)
    kept = {key: value for key, value in right.state_dict().items() if shapes.get(key) == value.shape}
    wrong.load_state_dict(kept, strict=False)
    off = difference(wrong(token_ids()), peer_signals(theirs, token_ids())["logits"])
    assert off > 100 * TOLERANCE


@pytest.mark.parametrize(("name", "other"), [("gpt2", "gelu"), ("llama_untied_biased", "gelu_tanh")])
@torch.no_grad()
def test_the_two_gelus_are_told_apart(name: str, other: str, tmp_path: Path) -> None:
    """They differ by less than 5e-4 anywhere, so the break is smaller than the other mechanisms'."""
    theirs = peer(name)
    right = ours(theirs, tmp_path)
    wrong = built(replace(right.config, activation=other), right.state_dict())
    assert difference(wrong(token_ids()), peer_signals(theirs, token_ids())["logits"]) > 20 * TOLERANCE


@torch.no_grad()
def test_grouping_of_heads_breaks_parity_when_changed(tmp_path: Path) -> None:
    """Query heads 0-2 share key-value head 0; interleaving them instead must be seen."""
    theirs = peer("llama_grouped_tied")
    model = ours(theirs, tmp_path)
    order = [0, 3, 1, 4, 2, 5]
    for block in model.blocks:
        rows = block.attention.query.weight.view(6, 16, 96)
        rows.copy_(rows[order].clone())
        columns = block.attention.output.weight.view(96, 6, 16)
        columns.copy_(columns[:, order].clone())
    assert difference(model(token_ids()), peer_signals(theirs, token_ids())["logits"]) > 100 * TOLERANCE
