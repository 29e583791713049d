"""Operations counted from the structure equal those that torch counts; energy and price; memory."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from training_parts import decoder, model

from shizuku.errors import TrainingError
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.decoder_config import RotaryScaling
from shizuku.training import memory
from shizuku.training.batches import TensorBatch
from shizuku.training.config import LoopConfig, OptimizerConfig, TrainConfig
from shizuku.training.cost import bill, matmul_peak, parameter_total, token_cost
from shizuku.training.dropout import dropping
from shizuku.training.from_text import model_config
from shizuku.training.memory import check_memory, estimate_memory
from shizuku.training.model_settings import ModelOverrides
from shizuku.training.objectives import NextToken

SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {
        "norm": "layernorm", "norm_bias": True, "positions": "learned", "activation": "gelu_tanh",
        "gated": False, "attention_bias": True, "attention_output_bias": True, "mlp_bias": True,
        "qk_norm": False,
    },
    "llama": {"kv_heads": 1, "tie_embeddings": False, "qk_norm": False, "layers": 3},
    "qwen3": {"kv_heads": 2, "heads": 4, "head_width": 16, "ffn_width": 56},
    "capped": {"kv_heads": 1, "attention_cap": 5.0, "norm_placement": "both", "parallel_residual": True},
    "alibi": {"positions": "alibi", "heads": 4, "embedding_norm": True, "qk_norm": False},
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_the_count_is_that_of_torch(name: str) -> None:
    config = decoder(width=32, context=64, **SHAPES[name])
    made, tokens, rows = Decoder(config), 48, 3
    ids = torch.randint(300, (rows, tokens))
    given = TensorBatch(ids, ids, torch.ones_like(ids, dtype=torch.bool))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as forward, torch.no_grad():
        NextToken().loss(made, given)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as both:
        NextToken().loss(made, given)["next_token"].backward()
    cost = token_cost(config, tokens)
    assert rows * tokens * cost.forward == pytest.approx(forward.get_total_flops(), rel=0.01)
    assert rows * tokens * cost.training == pytest.approx(both.get_total_flops(), rel=0.01)


def test_the_count_is_six_per_weight_and_twelve_per_attended_pair() -> None:
    config = decoder()
    weights = parameter_total(config, embeddings=False)
    cost = token_cost(config, 16)
    assert 3 * cost.blocks == pytest.approx(
        6 * weights, rel=0.05
    )  # norms are in the weights, not in the products
    assert 3 * cost.attention == 12 * config.layers * config.width * 16
    assert cost.training == 3 * cost.forward


@pytest.mark.parametrize(
    "preset, vocab_size, parameters",
    [("gpt2-small", 50257, 124_439_808), ("smollm2-135m", 49152, 134_515_008)],
)
def test_published_shapes_have_their_published_size(preset: str, vocab_size: int, parameters: int) -> None:
    config = TrainConfig(text=("x",), out="y", preset=preset)  # type: ignore[arg-type]
    assert parameter_total(model_config(config, vocab_size)) == parameters


def test_every_field_of_the_model_can_be_given() -> None:
    names = {field.name for field in fields(DecoderConfig)}
    assert names - {"vocab_size"} == {field.name for field in fields(ModelOverrides)}
    assert ModelOverrides().given() == {}
    scaling = RotaryScaling(kind="linear", factor=4.0)
    config = TrainConfig(
        text=("x",), out="y", model=ModelOverrides(rope_scaling=scaling, qk_norm=False, logit_cap=30.0)
    )  # type: ignore[arg-type]
    made = model_config(config, 300)
    assert (made.rope_scaling, made.qk_norm, made.logit_cap) == (scaling, False, 30.0)


def test_the_bill() -> None:
    cost = bill(7200.0, 1e12, watts=150.0, price_per_hour=0.5)
    assert cost.kilowatt_hours == pytest.approx(0.3) and cost.price == pytest.approx(1.0)
    assert bill(1.0, 2.0, watts=None, price_per_hour=None).to_dict() == {"seconds": 1.0, "flops": 2.0}


def test_the_peak_is_a_plausible_number() -> None:
    assert 1e8 < matmul_peak(0.05) < 1e15


def test_memory_counts_what_each_optimizer_keeps() -> None:
    made = model()
    total = sum(parameter.numel() for parameter in made.parameters())
    adamw = estimate_memory(made, LoopConfig(optimizer=OptimizerConfig(kind="adamw")), 2, 16)
    muon = estimate_memory(made, LoopConfig(optimizer=OptimizerConfig(kind="muon")), 2, 16)
    assert adamw.weights == 4 * total and adamw.optimizer == 8 * total
    matrices = sum(p.numel() for n, p in made.named_parameters() if n.startswith("blocks") and p.dim() == 2)
    assert muon.optimizer == 4 * (2 * total - matrices)
    assert estimate_memory(made, LoopConfig(ema=0.9), 2, 16).weights == 2 * muon.weights


def test_shares_take_less_memory_and_processes_of_a_machine_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(layers=8)
    whole, half = (
        estimate_memory(made, LoopConfig(optimizer=OptimizerConfig(kind="adamw")), 2, 16, shards=shards)
        for shards in (1, 2)
    )
    outside = [p.numel() for n, p in made.named_parameters() if not n.startswith("blocks")]
    block = sum(parameter.numel() for parameter in made.blocks[0].parameters())
    assert half.weights == whole.weights // 2 + 4 * (sum(outside) + 2 * block)
    assert half.optimizer == whole.optimizer // 2 and half.activations == whole.activations
    assert half.total < whole.total
    monkeypatch.setattr(memory, "available_memory", lambda: whole.total)
    check_memory(whole)
    with pytest.raises(TrainingError, match=r"in each of 2 processes.*--loop.parallel fsdp"):
        check_memory(half, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"qk_norm": True},
        {"norm_placement": "both", "norm_offset": True, "qk_norm": True, "embedding_multiplier": 8.0},
        {"attention_cap": 5.0, "kv_heads": 2},
        {"positions": "alibi", "embedding_norm": True},
        {"residual_multiplier": 0.3, "parallel_residual": True},
    ],
)  # fmt: skip
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_saved_activations_are_estimated(changes: dict[str, Any], dropout: float) -> None:
    config = DecoderConfig(vocab_size=64, context=128, width=64, layers=4, heads=4, ffn_width=192, **changes)
    made = Decoder(config)
    held: dict[int, int] = {}
    parameters = {parameter.data_ptr() for parameter in made.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if tensor.data_ptr() not in parameters:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(64, (8, 128))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), dropping(made, dropout):
        made.hidden(ids)
    estimate = (
        memory.activation_bytes(config, 8, 128, packed=False, dropout=dropout > 0) - 3 * memory.CHUNK_BYTES
    )
    assert sum(held.values()) <= estimate <= 1.5 * sum(held.values())


def test_a_run_that_would_not_fit_names_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(TrainingError, match=r"weights .*are available.*--batch-size.*--context"):
        check_memory(estimate_memory(model(), LoopConfig(), 2, 16))
