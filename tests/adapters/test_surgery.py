"""Adapters on a model and off it again: what it computes, what is trained, what is refused."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from adapter_parts import CODEBOOK, IDS, INT4, adapted, packed, randomise

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.layers import AdaptedLinear
from shizuku.adapters.surgery import (
    activate,
    adapter_names,
    adapter_weights,
    attach,
    detach,
    disabled,
    is_adapted,
    merge,
    pairs_of,
    put_weights,
    train_adapter,
)
from shizuku.adapters.weights import AdapterWeights
from shizuku.checkpoints.directory import load_model, save_checkpoint
from shizuku.errors import CheckpointError, ConfigError, ModelError
from shizuku.models.heads import HeadedDecoder
from shizuku.training.config import OptimizerConfig
from shizuku.training.optimizers import Optimizers, parameter_groups
from small_models import small_model

KINDS = {
    "lora": AdapterConfig(rank=4, alpha=8),
    "rslora": AdapterConfig(rank=4, alpha=3, rank_stabilised=True),
    "dora": AdapterConfig(rank=4, dora=True),
}


def by_hand(model: torch.nn.Module, config: AdapterConfig) -> torch.nn.Module:
    """The model with W + scale B A put together openly, DoRA's rows at their lengths."""
    plain = copy.deepcopy(model)
    sums = {}
    for name, pair in pairs_of(model, "default").items():
        layer = model.get_submodule(name)
        scale = config.alpha or 2 * config.rank
        scale /= config.rank**0.5 if config.rank_stabilised else config.rank
        weight = layer.weight.detach() + scale * (pair.b_OR @ pair.a_RI).detach()
        if config.dora:
            weight *= (pair.length_O / weight.norm(dim=1)).detach()[:, None]
        sums[name] = weight
    detach(plain)
    for name, weight in sums.items():
        plain.get_submodule(name).weight.data = weight
    return plain


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    """Without gradients: RMS norms are computed another way, and round otherwise, where there are some."""
    return model(IDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", [None, INT4, CODEBOOK])
def test_an_adapter_adds_its_product_and_merges_into_what_the_base_computes_with(kind, scheme) -> None:
    model = adapted(KINDS[kind], scheme=scheme)
    with torch.no_grad():
        with_it = model(IDS)
        with disabled(model):
            without = model(IDS)
        if scheme is None:
            torch.testing.assert_close(with_it, by_hand(model, KINDS[kind])(IDS), atol=2e-5, rtol=1e-5)
        base = small_model()
        if scheme is not None:
            packed(base, scheme)
        torch.testing.assert_close(without, base(IDS), atol=0, rtol=0)
        assert (with_it - without).std() > 0.3
        merge(model)
        assert not is_adapted(model)
        assert (model(IDS) - with_it).abs().max() < 1e-4
    assert not any(isinstance(module, AdaptedLinear) for module in model.modules())


def test_a_new_adapter_changes_nothing_and_leaves_only_itself_to_train() -> None:
    for config in KINDS.values():
        model = small_model()
        before = logits(model)
        attach(model, config)
        # DoRA divides a row by its own length: only that rounds.
        torch.testing.assert_close(logits(model), before, atol=2e-5 if config.dora else 0, rtol=0)
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert trained and all("adapter:default" in name for name in trained)
        model(IDS).square().sum().backward()
        frozen = [p for p in model.parameters() if not p.requires_grad]
        assert all(p.grad is None for p in frozen)
        assert all(pair.b_OR.grad.abs().sum() > 0 for pair in pairs_of(model, "default").values())
        detach(model)
        torch.testing.assert_close(logits(model), before, atol=0, rtol=0)
        assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("scheme", [None, INT4])
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_gradients_are_those_of_the_openly_written_product(kind, scheme) -> None:
    config = KINDS[kind]
    model = adapted(config, scheme=scheme)
    layer = model.blocks[0].feedforward.up
    pair = layer.pair("default")
    x = torch.randn(5, 7, layer.weight.shape[1], requires_grad=True)
    dy = torch.randn(5, 7, layer.weight.shape[0])
    leaves = [x, *pair.parameters()]
    found = torch.autograd.grad(layer(x), leaves, dy)
    weight = layer.weight.detach() + pair.scale * pair.b_OR @ pair.a_RI
    if config.dora:
        weight = weight * (pair.length_O / weight.detach().norm(dim=1))[:, None]
    expected = torch.autograd.grad(x @ weight.t(), leaves, dy)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_a_packed_base_keeps_no_float_copy_for_the_backward_pass() -> None:
    model = adapted(KINDS["lora"], scheme=INT4)
    layer = model.blocks[0].feedforward.up
    for each in (layer, layer.base, adapted(KINDS["dora"], scheme=INT4).blocks[0].feedforward.up):
        kept: list[torch.Size] = []

        def keep(tensor: torch.Tensor, kept: list[torch.Size] = kept) -> torch.Tensor:
            kept.append(tensor.shape)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            each(torch.randn(3, 32, requires_grad=True)).sum().backward()
        assert torch.Size([64, 32]) not in kept and torch.Size([32, 64]) not in kept


def test_dropout_acts_in_training_alone_and_keeps_the_expectation() -> None:
    model = adapted(replace(KINDS["lora"], dropout=0.5))
    layer = model.blocks[0].feedforward.up
    x = torch.randn(3, 32)
    quiet = layer(x)
    model.train()
    torch.manual_seed(0)
    draws = torch.stack([layer(x) for _ in range(4000)])
    assert draws.std(0).mean() > 0.1
    assert (draws.mean(0) - quiet).abs().max() < 6 * draws.std(0).max() / 4000**0.5
    with disabled(model):
        torch.testing.assert_close(layer(x), layer.base(x), atol=0, rtol=0)


def test_several_adapters_live_on_one_model_and_one_acts() -> None:
    model = small_model()
    attach(model, KINDS["lora"], name="one")
    randomise(model, "one", 1)
    first = logits(model)
    attach(model, AdapterConfig(rank=2, targets=("blocks.*.attention.*",)), name="v1.5 50%", seed=3)
    randomise(model, "v1.5 50%", 2)
    second = logits(model)
    assert adapter_names(model) == ["one", "v1.5 50%"]
    activate(model, "one")
    torch.testing.assert_close(logits(model), first, atol=0, rtol=0)
    with disabled(model), disabled(model):
        torch.testing.assert_close(logits(model), logits(small_model()), atol=0, rtol=0)
    torch.testing.assert_close(logits(model), first, atol=0, rtol=0)
    train_adapter(model, "one")
    assert all("adapter:one" in n for n, p in model.named_parameters() if p.requires_grad)
    detach(model, "one")
    activate(model, "v1.5 50%")
    torch.testing.assert_close(logits(model), second, atol=0, rtol=0)
    with pytest.raises(ModelError, match="no adapter 'one'"):
        activate(model, "one")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_go_out_and_come_back_bit_for_bit(kind) -> None:
    model = adapted(KINDS[kind])
    weights = adapter_weights(model)
    other = small_model()
    put_weights(other, weights)
    assert not any(p.requires_grad for p in other.parameters())
    torch.testing.assert_close(logits(other), logits(model), atol=0, rtol=0)


def test_what_does_not_fit_is_refused_before_anything_is_changed() -> None:
    model = small_model()
    with pytest.raises(ConfigError, match=r"--lora\.targets q_proj.*blocks\.\*\.attention\.query"):
        attach(model, AdapterConfig(rank=2, targets=("q_proj",)))
    with pytest.raises(ConfigError, match=r"--lora\.rank 33.*at most 16"):
        attach(model, AdapterConfig(rank=33))
    with pytest.raises(ConfigError, match="rank 0"):
        attach(model, AdapterConfig())
    assert not is_adapted(model) and all(p.requires_grad for p in model.parameters())
    weights = adapter_weights(adapted(KINDS["lora"]))
    put_weights(model, weights)
    with pytest.raises(ConfigError, match="already"):
        put_weights(model, weights)
    with pytest.raises(ConfigError, match="already"):
        attach(model, KINDS["lora"])
    broken = dict(weights.layers)
    bad = next(iter(broken))
    broken[bad] = replace(broken[bad], b_OR=np.full_like(broken[bad].b_OR, np.nan))
    with pytest.raises(ModelError, match=f"{bad}.*NaN"):
        put_weights(model, AdapterWeights(weights.config, broken), name="nan")
    with pytest.raises(ModelError, match="another base"):
        put_weights(small_model("gpt2"), weights)
    assert adapter_names(model) == ["default"]


def test_a_head_stays_trainable_and_layers_keep_their_names() -> None:
    headed = HeadedDecoder(small_model(), 1)
    attach(headed, KINDS["lora"])
    trained = {name for name, p in headed.named_parameters() if p.requires_grad}
    assert "head.weight" in trained and len(trained) == 1 + 2 * 14
    assert "blocks.0.attention.query" in adapter_weights(headed).layers
    with disabled(headed):
        headed(IDS)
    merge(headed)
    assert not is_adapted(headed)


def test_an_optimizer_takes_the_pairs_as_matrices_and_lengths_as_vectors() -> None:
    model = adapted(KINDS["dora"])
    groups = parameter_groups(model)
    assert [len(groups[kind]) for kind in ("matrices", "embeddings", "vectors")] == [28, 0, 14]
    model(IDS).square().mean().backward()
    Optimizers(model, OptimizerConfig(kind="adamw")).step()


def test_an_adapted_model_is_not_saved_as_if_it_were_a_plain_one(tmp_path) -> None:
    model = adapted(KINDS["lora"])
    with pytest.raises(CheckpointError, match="merge it"):
        save_checkpoint(tmp_path / "model", model=model)
    assert not (tmp_path / "model").exists()
    merge(model)
    save_checkpoint(tmp_path / "model", model=model)
    torch.testing.assert_close(logits(load_model(tmp_path / "model")), logits(model), atol=0, rtol=0)


@torch.no_grad()
def test_a_row_of_zeros_stays_one_under_dora() -> None:
    model = small_model()
    model.blocks[0].attention.query.weight[1] = 0
    before = logits(model)
    attach(model, KINDS["dora"])
    torch.testing.assert_close(logits(model), before, atol=2e-5, rtol=0)
    merge(model)
    torch.testing.assert_close(logits(model), before, atol=2e-5, rtol=0)
