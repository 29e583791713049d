"""Muon and AdamW: which moves what, and how."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from training_parts import decoder

from shizuku.errors import TrainingError
from shizuku.models.decoder import Decoder
from shizuku.training.adamw import AdamW
from shizuku.training.config import OptimizerConfig
from shizuku.training.muon import Muon, orthogonalise
from shizuku.training.optimizers import Optimizers, parameter_groups


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (1, 40, 8)])
def test_orthogonalised_matrices_keep_their_directions_and_lose_their_scale(shape: tuple[int, ...]) -> None:
    # Singular values from 1 to 0.05: far apart, as gradients have them.
    rows, columns = shape[-2:]
    small = min(rows, columns)
    generator = torch.Generator().manual_seed(0)
    u, _, vh = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    given = u @ torch.diag(torch.logspace(0, -1.3, small)) @ vh
    turned = orthogonalise(given, 5)
    inside = u.mT @ turned @ vh.mT
    diagonal = inside.diagonal(dim1=-2, dim2=-1)
    assert diagonal.min() > 0.6 and diagonal.max() < 1.3
    assert (inside - torch.diag_embed(diagonal)).abs().max() < 1e-4


def test_muon_follows_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(12, 4, generator=generator))
    muon = Muon([{"params": [weight]}], lr=0.1, momentum=0.9, weight_decay=0.5)
    expected, average = weight.detach().clone(), torch.zeros(12, 4)
    for _ in range(3):
        gradient = torch.randn(12, 4, generator=generator)
        weight.grad = gradient.clone()
        muon.step()
        average = 0.9 * average + 0.1 * gradient
        nesterov = 0.1 * gradient + 0.9 * average
        update = orthogonalise(nesterov[None], 5)[0] * (12 / 4) ** 0.5
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * update
        torch.testing.assert_close(weight.detach(), expected)


def test_a_fused_projection_is_moved_like_its_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(24, 8, generator=generator)
    gradient = torch.randn(24, 8, generator=generator)
    fused = nn.Parameter(whole.clone())
    parts = [nn.Parameter(part.clone()) for part in whole.split(8)]
    fused.grad = gradient
    for part, its in zip(parts, gradient.split(8), strict=True):
        part.grad = its.clone()
    Muon([{"params": [fused], "parts": 3}], lr=0.1).step()
    Muon([{"params": parts}], lr=0.1).step()
    torch.testing.assert_close(fused.detach(), torch.cat([part.detach() for part in parts]))


def test_muon_refuses_vectors() -> None:
    with pytest.raises(ValueError, match="Muon takes matrices"):
        Muon([{"params": [nn.Parameter(torch.zeros(3))]}], lr=0.1)


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_is_in_exactly_one_group(tied: bool) -> None:
    model = Decoder(decoder(tie_embeddings=tied, norm="layernorm", norm_bias=True, mlp_bias=True))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {kind: {names[id(p)] for p in members} for kind, members in parameter_groups(model).items()}
    assert sum(map(len, groups.values())) == len(names)
    assert groups["embeddings"] == {"embedding.weight"} | (set() if tied else {"unembedding.weight"})
    assert groups["matrices"] == {
        name
        for name in names.values()
        if name.startswith("blocks.") and name.endswith("weight") and "norm" not in name
    }


def test_norms_biases_and_embeddings_do_not_decay() -> None:
    model = Decoder(decoder(norm="layernorm", norm_bias=True, mlp_bias=True))
    for kind in ("adamw", "muon"):
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizers = Optimizers(model, OptimizerConfig(kind=kind, weight_decay=0.5))  # type: ignore[arg-type]
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizers.step()
        for name, parameter in model.named_parameters():
            decays = name.startswith("blocks.") and name.endswith("weight") and "norm" not in name
            assert torch.equal(parameter, before[name]) != (decays and bool(before[name].any())), name


def test_rates_are_set_by_group() -> None:
    model = Decoder(decoder())
    settings = OptimizerConfig(learning_rate=0.1, embedding_learning_rate=0.2, muon_learning_rate=0.3)
    optimizers = Optimizers(model, settings)
    optimizers.set_rates(0.5)
    rates = {
        optimizers.names[parameter]: group["lr"]
        for optimizer in optimizers._all
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert rates["embedding.weight"] == pytest.approx(0.1)
    assert rates["final_norm.weight"] == pytest.approx(0.05)
    assert rates["blocks.0.attention.query.weight"] == pytest.approx(0.15)


def test_state_comes_back_by_name() -> None:
    torch.manual_seed(0)
    first, second = Decoder(decoder()), Decoder(decoder())
    second.load_state_dict(first.state_dict())
    a, b = Optimizers(first, OptimizerConfig()), Optimizers(second, OptimizerConfig())
    gradients = [torch.randn_like(parameter) for parameter in first.parameters()]

    def step(model: Decoder, optimizers: Optimizers) -> None:
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        optimizers.step()

    step(first, a)
    second.load_state_dict(first.state_dict())
    b.load_tensors(a.tensors())
    step(first, a)
    step(second, b)
    assert all(torch.equal(x, y) for x, y in zip(first.parameters(), second.parameters(), strict=True))
    with pytest.raises(TrainingError, match=r"nowhere\.weight"):
        b.load_tensors({"nowhere.weight/momentum": torch.zeros(1)})


def test_adamw_is_bit_for_bit_pytorchs() -> None:
    torch.manual_seed(0)
    ours = [torch.randn(50, 7, requires_grad=True), torch.randn(9, requires_grad=True)]
    theirs = [parameter.detach().clone().requires_grad_() for parameter in ours]
    groups = [
        [{"params": a, "lr": 0.01, "weight_decay": 0.1}, {"params": b, "lr": 0.02, "weight_decay": 0.0}]
        for a, b in ((ours[:1], ours[1:]), (theirs[:1], theirs[1:]))
    ]
    mine = AdamW(groups[0], betas=(0.9, 0.95), eps=1e-8)
    peer = torch.optim.AdamW(groups[1], betas=(0.9, 0.95), eps=1e-8, fused=True)
    for step in range(6):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a) if step != 3 or a.dim() == 2 else None  # one without, once
            b.grad = None if a.grad is None else a.grad.clone()
        mine.step()
        peer.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
        for name, value in peer.state[b].items():
            assert torch.equal(mine.state[a][name], value), name


def test_training_does_not_wait_for_the_compiler_to_be_imported() -> None:
    code = (
        "import sys\nfrom shizuku.models.decoder import Decoder, DecoderConfig\n"
        "from shizuku.training.config import OptimizerConfig\n"
        "from shizuku.training.optimizers import Optimizers\n"
        "model = Decoder(DecoderConfig(vocab_size=8, context=8, width=8, layers=1, heads=1, ffn_width=8))\n"
        "model(__import__('torch').tensor([[1, 2]])).sum().backward()\n"
        "Optimizers(model, OptimizerConfig()).step()\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_step_is_seen_by_those_who_look_at_versions(kind: str) -> None:
    made = Decoder(decoder())
    optimizers = Optimizers(made, OptimizerConfig(kind=kind))
    before = {name: parameter._version for name, parameter in made.named_parameters()}
    for parameter in made.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizers.step()
    assert all(parameter._version > before[name] for name, parameter in made.named_parameters())
