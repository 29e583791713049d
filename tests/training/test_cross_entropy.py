"""The chunked cross entropy equals the plain one, and never holds all logits."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from training_parts import model

from shizuku.models.layers import products
from shizuku.training.batches import TensorBatch
from shizuku.training.cross_entropy import cross_entropy_sums, cross_entropy_sums_of
from shizuku.training.objectives import NextToken


def problem(
    dtype: torch.dtype, tokens: int = 37, width: int = 8, vocab: int = 50
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, width, dtype=dtype, generator=generator).requires_grad_()
    weight = torch.randn(vocab, width, dtype=dtype, generator=generator).requires_grad_()
    return x, weight, torch.randint(vocab, (tokens,), generator=generator)


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("chunk", [1, 10, 37, 100])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_equals_the_plain_computation(chunk: int, dtype: torch.dtype, tolerance: float) -> None:
    x, weight, targets = problem(dtype)
    logits = x @ weight.T
    plain = F.cross_entropy(logits, targets, reduction="sum")
    plain_z = logits.logsumexp(-1).square().sum()
    ce, z = cross_entropy_sums(x, weight, targets, with_z=True, chunk=chunk)
    torch.testing.assert_close(ce, plain, rtol=tolerance, atol=0)
    torch.testing.assert_close(z, plain_z, rtol=tolerance, atol=0)
    # Unlike factors, so that a mix-up of the two gradients would show.
    for mine, other in zip(
        gradients(0.7 * ce + 0.03 * z, x, weight),
        gradients(0.7 * plain + 0.03 * plain_z, x, weight),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=float(tolerance * other.abs().max()))


def test_z_changes_neither_the_loss_nor_its_gradient() -> None:
    x, weight, targets = problem(torch.float32)
    alone, nothing = cross_entropy_sums(x, weight, targets)
    beside, _ = cross_entropy_sums(x, weight, targets, with_z=True)
    assert alone.item() == beside.item() and nothing.item() == 0.0
    for mine, other in zip(gradients(alone, x, weight), gradients(beside, x, weight), strict=True):
        assert torch.equal(mine, other)


def test_large_logits_stay_finite() -> None:
    x, weight, targets = problem(torch.float32)
    ce, _ = cross_entropy_sums(x * 1e3, weight, targets)
    torch.testing.assert_close(ce, F.cross_entropy(1e3 * x @ weight.T, targets, reduction="sum"))


def test_only_one_input_needs_a_gradient() -> None:
    x, weight, targets = problem(torch.float64)
    ce, _ = cross_entropy_sums(x.detach(), weight, targets, chunk=5)
    (mine,) = gradients(ce, weight)
    (other,) = gradients(F.cross_entropy(x.detach() @ weight.T, targets, reduction="sum"), weight)
    torch.testing.assert_close(mine, other)


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_no_tensor_is_as_large_as_all_logits() -> None:
    x, weight, targets = problem(torch.float32, tokens=512, width=4, vocab=64)
    with Largest() as largest:
        ce, _ = cross_entropy_sums(x, weight, targets, chunk=64)
        ce.backward()
    assert largest.elements == 64 * 64


@pytest.mark.parametrize("chunk", [10, 37])
def test_capped_logits_with_a_bias_equal_the_plain_computation(chunk: int) -> None:
    x, weight, targets = problem(torch.float64)
    bias = torch.linspace(-1, 1, 50, dtype=torch.float64).requires_grad_()

    def unembed(x_ND: Tensor) -> Tensor:
        return 3 * torch.tanh((x_ND @ weight.T + bias) / 3)

    logits = unembed(x)
    plain, plain_z = F.cross_entropy(logits, targets, reduction="sum"), logits.logsumexp(-1).square().sum()
    ce, z = cross_entropy_sums_of(unembed, x, targets, vocab_size=50, with_z=True, chunk=chunk)
    torch.testing.assert_close((ce, z), (plain, plain_z), rtol=1e-13, atol=0)
    for mine, other in zip(
        gradients(0.7 * ce + 0.03 * z, x, weight, bias),
        gradients(0.7 * plain + 0.03 * plain_z, x, weight, bias),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=float(1e-13 * other.abs().max()))


@pytest.mark.parametrize(
    "changes",
    [
        {"logit_multiplier": 0.25},
        {"logit_cap": 2.0, "logit_multiplier": 3.0},
        {"tie_embeddings": False, "unembedding_bias": True},
    ],
)
def test_the_objective_learns_from_the_logits_that_the_model_gives(changes: dict[str, Any]) -> None:
    made = model(**changes)
    for parameter in made.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    ids = torch.randint(320, (2, 16), generator=torch.Generator().manual_seed(0))
    batch = TensorBatch(ids, ids.roll(-1, 1), torch.ones_like(ids, dtype=torch.bool))
    plain = F.cross_entropy(made(ids).flatten(0, 1), ids.roll(-1, 1).flatten(), reduction="sum")
    loss = NextToken().loss(made, batch)["next_token"]
    torch.testing.assert_close(loss, plain, rtol=1e-6, atol=0)
    names, parameters = zip(*made.named_parameters(), strict=True)
    for name, mine, other in zip(
        names, gradients(loss, *parameters), gradients(plain, *parameters), strict=True
    ):
        assert (mine - other).abs().max() <= 2e-6 * other.abs().max(), name


def test_an_evaluation_computes_no_gradient() -> None:
    x, weight = torch.randn(40, 8, requires_grad=True), torch.randn(30, 8, requires_grad=True)
    targets = torch.zeros(40, dtype=torch.long)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        cross_entropy_sums(x, weight, targets)
    assert counted.get_total_flops() == 2 * 40 * 8 * 30


@pytest.mark.parametrize("with_z", [False, True])
def test_products_by_the_other_library_change_nothing(with_z: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Micro shapes stay below the size from which it is asked, so the borders are moved here."""
    monkeypatch.setattr(products, "SMALLEST", 0)
    monkeypatch.setattr(products, "SMALLEST_OUTER", 0)
    monkeypatch.setattr(products, "HAS_AVX512", True)
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(shape, 16, generator=generator, requires_grad=True) for shape in (50, 33))
    targets = torch.randint(33, (50,), generator=generator)
    ce, z = cross_entropy_sums(x, weight, targets, with_z=with_z, chunk=20)
    (ce + 0.1 * z).backward()
    exact_x, exact_weight = (leaf.detach().double().requires_grad_() for leaf in (x, weight))
    logits = exact_x @ exact_weight.T
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (expected + 0.1 * with_z * logits.logsumexp(-1).square().sum()).backward()
    assert ce.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in ((x.grad, exact_x.grad), (weight.grad, exact_weight.grad)):
        assert ((ours - theirs).abs().max() / theirs.std()).item() < 2e-5
