"""What keeps experts in use, against transformers and by hand; what the rest of training makes of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from training_parts import CONTEXT, corpus, decoder
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach
from shizuku.data.packing import PackedBatches
from shizuku.errors import ConfigError
from shizuku.inference.native import unsupported
from shizuku.models.decoder import Decoder, initialise
from shizuku.models.layers.experts import sparse_layers, watched
from shizuku.quantization.surgery import matrices
from shizuku.training.batches import TensorBatch
from shizuku.training.config import LoopConfig
from shizuku.training.cost import active_parameters, parameter_total, token_cost
from shizuku.training.expert_balance import BalancedExperts, with_balance
from shizuku.training.loop import train
from shizuku.training.memory import activation_bytes
from shizuku.training.objectives import NextToken
from shizuku.training.optimizers import parameter_groups

SPARSE = decoder(experts=4, experts_per_token=2, expert_width=24, balance_coefficient=0.1)


def model(**changes: Any) -> Decoder:
    made = Decoder(replace(SPARSE, **changes))
    initialise(made, 1)
    with torch.no_grad():
        for layer in sparse_layers(made):
            layer.router.weight.mul_(40)
    return made.train()


def batch(padded: int = 0, uncounted: int = 0) -> TensorBatch:
    ids_BT = torch.randint(320, (3, CONTEXT), generator=torch.Generator().manual_seed(2))
    segments_BT = torch.zeros_like(ids_BT)
    mask_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    if padded:
        segments_BT[0, -padded:] = -1
        mask_BT[0, -padded:] = False
    mask_BT[1, :uncounted] = False
    return TensorBatch(ids_BT, ids_BT.roll(-1, 1), mask_BT, segments_BT)


def objective(made: Decoder) -> BalancedExperts:
    found = with_balance(NextToken(), made)
    assert isinstance(found, BalancedExperts)
    return found


@pytest.mark.parametrize("padded", [0, 7])
def test_the_balance_loss_is_transformers_a_layer_at_a_time(padded: int) -> None:
    """Over several layers theirs takes experts of the same number for the same expert; ours is the mean."""
    made, taken = model(router_z_coefficient=0.01), batch(padded)
    with watched(made) as seen:
        made.hidden(taken.ids_BT, segments_BT=taken.segments_BT)
    mask_BT = taken.mask_BT.long() if padded else None
    theirs = [load_balancing_loss_func((one.logits_NE,), 4, 2, mask_BT) for one in seen]
    learned = objective(made)
    values, counts = learned.loss(made, taken), learned.counts(taken)
    assert counts["balance"] == counts["router_z"] == 3 * CONTEXT - padded
    torch.testing.assert_close(values["balance"] / counts["balance"], torch.stack(theirs).mean())
    assert float(values["balance"].detach()) / counts["balance"] > 2.05, "2 would be balanced"
    logs = [one.logits_NE[taken.mask_BT.reshape(-1)].logsumexp(-1).square().mean() for one in seen]
    torch.testing.assert_close(values["router_z"] / counts["router_z"], torch.stack(logs).mean())


def test_padding_and_tokens_that_do_not_count_have_no_part_in_it() -> None:
    made, taken = model(), batch(padded=6, uncounted=5)
    values = objective(made).loss(made, taken)
    other = replace(taken, ids_BT=taken.ids_BT.clone())
    other.ids_BT[0, -6:] = 17
    again = objective(made).loss(made, other)
    assert torch.equal(values["balance"], again["balance"])
    learned = objective(made)
    learned.loss(made, taken)
    assert float(learned._step.loads_LE.sum()) == 2 * 2 * (3 * CONTEXT - 11)


def test_evaluation_leaves_it_out_and_dense_models_have_none() -> None:
    made, taken = model(), batch()
    with_terms = objective(made)
    assert set(with_terms.terms) == {"next_token", "balance"} and not with_terms.terms["balance"].data
    made.eval()
    assert set(with_terms.loss(made, taken)) == {"next_token"}
    plain = NextToken()
    assert with_balance(plain, Decoder(decoder())) is plain


def test_the_bias_moves_against_the_load_and_only_that() -> None:
    made = model(router_bias=True, router_bias_rate=0.25, balance_coefficient=0.0)
    learned, taken = objective(made), batch()
    assert set(learned.terms) == {"next_token"}
    learned.counts(taken)
    learned.loss(made, taken)
    learned.moved()
    for layer, loads_E in zip(sparse_layers(made), learned._step.loads_LE, strict=True):
        expected_E = 0.25 * torch.sign(loads_E.mean() - loads_E).float()
        assert layer.router.choice_bias is not None and torch.equal(layer.router.choice_bias, expected_E)
        assert expected_E.any()


def run(
    folder: Path, out: str, shards: Any, *, steps: int, stop_at: int | None = None, **config: Any
) -> Path:
    def stop(record: Any) -> None:
        if record["step"] == stop_at:
            raise KeyboardInterrupt

    loop = LoopConfig(steps=steps, log_every=1, save_every=2, save_minutes=None, **config)
    source = PackedBatches(shards, context=CONTEXT, batch_size=4, seed=5)
    made = model(router_bias=True, router_bias_rate=0.05, capacity_factor=1.0)
    try:
        train(made, NextToken(), source, loop, out=folder / out, on_log=stop)
    except KeyboardInterrupt:
        assert stop_at is not None
    return folder / out


def test_a_resumed_run_is_the_same_bit_for_bit_and_logs_where_tokens_went(tmp_path: Path) -> None:
    _, shards = corpus(tmp_path / "shards")
    whole = run(tmp_path, "whole", shards, steps=6)
    run(tmp_path, "resumed", shards, steps=6, stop_at=5)
    resumed = run(tmp_path, "resumed", shards, steps=6, resume=True)
    for file in ("model.safetensors", "state/optimizer.safetensors"):
        assert (whole / file).read_bytes() == (resumed / file).read_bytes()
    last = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert 1 <= last["experts/load"] <= 4 and 0 < last["experts/dropped"] < 0.7
    assert 0 < last["experts/entropy"] < np.log(4) and last["experts/idle"] >= 0
    assert json.loads((whole / "config.json").read_text())["model_type"] == "shizuku-decoder"


def test_active_parameters_and_operations_are_counted() -> None:
    for changes in ({}, {"shared_experts": 1, "sparse_layers": (True, False), "mlp_bias": True}):
        config = replace(SPARSE, **changes)
        made = Decoder(config)
        idle = sum(
            parameter.numel()
            for layer in sparse_layers(made)
            for name in ("2", "3")
            for parameter in layer.experts[name].parameters()
        )
        assert active_parameters(config) == parameter_total(config) - idle
        ids_BT = torch.zeros(2, CONTEXT, dtype=torch.long)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            made(ids_BT)
        cost = token_cost(config, CONTEXT)  # PyTorch does not count attention on processors
        counted = counter.get_total_flops() / ids_BT.numel()
        assert counted == pytest.approx(cost.blocks + cost.unembedding, rel=0.01)
    assert activation_bytes(SPARSE, 2, CONTEXT) > activation_bytes(decoder(), 2, CONTEXT)


def test_routers_are_left_out_of_what_is_packed_adapted_and_orthogonalised() -> None:
    made = model()
    groups = parameter_groups(made)
    routers = {id(layer.router.weight) for layer in sparse_layers(made)}
    assert routers <= {id(parameter) for parameter in groups["vectors"]}
    assert not any("router" in name for name in matrices(made))
    attach(made, AdapterConfig(rank=2))
    ids_BT = torch.randint(320, (1, 3))
    made(ids_BT).sum().backward()  # most experts get no token at all
    grads = {name: p.grad for name, p in made.named_parameters() if p.requires_grad}
    assert len(grads) == 2 * 2 * (4 + 4 * 3) and all(grad is not None for grad in grads.values())
    assert not any("router" in name for name in grads)


def test_compiling_is_refused(tmp_path: Path) -> None:
    loop = LoopConfig(steps=1, compile=True)
    with pytest.raises(ConfigError, match=r"--loop\.compile: layers with experts are not compiled"):
        train(model(), NextToken(), None, loop, out=tmp_path / "run")  # type: ignore[arg-type]


def test_the_native_library_says_that_it_has_none() -> None:
    assert unsupported(SPARSE) == ["experts (4)"] and not unsupported(decoder())
