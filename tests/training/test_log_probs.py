"""Log-probabilities of given tokens, chunk by chunk, against the whole softmax and its autograd."""

import dataclasses

import pytest
import torch

from shizuku.errors import TrainingError
from shizuku.models.decoder import Decoder
from shizuku.training.cross_entropy import chunk_tokens
from shizuku.training.log_probs import log_probs_of
from tiny_language_model import tiny_model


class Output(torch.nn.Module):
    """An output matrix alone."""

    def __init__(self, vocab: int, width: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(0.3 * torch.randn(vocab, width, dtype=dtype))

    @property
    def unembedding_weight_VD(self) -> torch.Tensor:
        return self.weight


def plain(model, x_ND: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    logits_NV = model.unembed(x_ND) if hasattr(model, "unembed") else x_ND @ model.weight.t()
    return torch.log_softmax(logits_NV, -1).gather(1, targets_N[:, None])[:, 0]


@pytest.mark.parametrize("want", ["both", "inputs", "weights"])
def test_values_and_gradients_are_those_of_the_whole_softmax(want) -> None:
    torch.manual_seed(0)
    vocab, tokens = 40_000, 300
    assert chunk_tokens(vocab) < tokens / 2, "several chunks"
    model, x_ND = Output(vocab, 8), torch.randn(tokens, 8)
    targets_N, factors_N = torch.randint(vocab, (tokens,)), torch.randn(tokens)
    model.weight.requires_grad_(want != "inputs")
    x_ND.requires_grad_(want != "weights")
    found = []
    for of in (log_probs_of, plain):
        logp_N = of(model, x_ND, targets_N)
        (logp_N * factors_N).sum().backward()
        found.append((logp_N.detach(), x_ND.grad, model.weight.grad))
        x_ND.grad = model.weight.grad = None
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(1)
    model = Output(7, 3, torch.float64)
    x_ND, targets_N = (
        torch.randn(5, 3, dtype=torch.float64, requires_grad=True),
        torch.tensor([0, 6, 3, 3, 1]),
    )

    def squared(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        model.weight = torch.nn.Parameter(weight.detach())
        holder = type("Holder", (), {"unembedding_weight_VD": weight})()
        return log_probs_of(holder, x, targets_N).square()

    assert torch.autograd.gradcheck(squared, (x_ND, model.weight.detach().clone().requires_grad_()))


def test_logits_that_are_more_than_a_product_go_through_the_model() -> None:
    config = dataclasses.replace(tiny_model().config, logit_cap=2.0)
    model = Decoder(config)
    model.load_state_dict(tiny_model().state_dict())
    assert not model.linear_unembedding
    x_ND, targets_N = torch.randn(20, config.width, requires_grad=True), torch.randint(400, (20,))
    found = []
    for of in (log_probs_of, plain):
        (of(model, x_ND, targets_N) * torch.arange(20)).sum().backward()
        found.append((x_ND.grad, model.unembedding_weight_VD.grad))
        x_ND.grad = None
        model.zero_grad()
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_a_target_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(TrainingError, match="target id 9 is outside"):
        log_probs_of(Output(9, 3), torch.randn(2, 3), torch.tensor([1, 9]))
