"""Products through the faster library are the products, with their gradients."""

import time

import pytest
import torch
import torch.nn.functional as F

from shizuku.models.layers import products
from shizuku.models.layers.products import Linear, by_onednn, linear, outer_sum, product

SHAPES = [(768, 128, 512), (768, 512, 128), (130, 96, 257), (1, 576, 4001), (2048, 1, 1024)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "plain"])
def test_values_and_gradients_are_those_of_float64(shape: tuple[int, int, int], biased: bool) -> None:
    rows, inputs, outputs = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, rows, inputs, generator=generator).transpose(0, 1)  # strides as attention leaves them
    layer = Linear(inputs, outputs, bias=biased)
    dy = torch.randn(rows, 2, outputs, generator=generator)
    leaves = [x.clone().requires_grad_(), *layer.parameters()]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    assert by_onednn(x, layer.weight) == products.HAS_ONEDNN
    y, expected = layer(leaves[0]), F.linear(*exact)
    y.backward(dy)
    expected.backward(dy.double())
    for ours, theirs in [(y, expected), *((a.grad, b.grad) for a, b in zip(leaves, exact, strict=True))]:
        assert ours is not None and theirs is not None and ours.shape == theirs.shape
        assert ((ours - theirs).abs().max() / theirs.std()).item() < 2e-5


def test_a_bias_learns_beside_a_frozen_matrix() -> None:
    x, layer = torch.randn(64, 256), Linear(256, 512)
    assert by_onednn(x, layer.weight) == products.HAS_ONEDNN
    layer.weight.requires_grad_(False)
    layer(x).square().sum().backward()
    assert layer.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad, 2 * F.linear(x, layer.weight, layer.bias).sum(0).detach())


def test_only_what_needs_a_gradient_gets_one() -> None:
    x, layer = torch.randn(64, 256, requires_grad=True), Linear(256, 512)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is None and layer.bias.grad is not None
    with torch.no_grad():
        assert layer(x).grad_fn is None


@pytest.mark.parametrize("rows", [1, 4096])
def test_parts_of_a_gradient_do_not_depend_on_which_side_is_wider(rows: int) -> None:
    wide, narrow = torch.randn(rows, 400), torch.randn(rows, 60)
    torch.testing.assert_close(outer_sum(wide, narrow), outer_sum(narrow, wide).t(), rtol=1e-4, atol=1e-4)
    assert outer_sum(wide, narrow).is_contiguous()


@pytest.mark.skipif(not products.HAS_ONEDNN, reason="this build of PyTorch has no oneDNN for this processor")
def test_a_slice_of_wider_rows_is_about_as_fast_as_a_matrix_of_its_own() -> None:
    # A gate's gradient is such a slice; as the right side of a product it took four hundred times as long.
    rows, wide = torch.randn(512, 124), torch.randn(512, 256)
    slice_, own = wide[:, :128], wide[:, :128].contiguous()

    def seconds(right: torch.Tensor) -> float:
        taken = []
        for _ in range(5):
            begun = time.perf_counter()
            found = product(rows.t(), right.t())
            taken.append(time.perf_counter() - begun)
        torch.testing.assert_close(found, rows.t() @ right, rtol=1e-4, atol=1e-4)
        return min(taken)

    assert seconds(slice_) < 20 * seconds(own)


def test_other_numbers_take_the_ordinary_way() -> None:
    x, weight = torch.randn(512, 256), torch.randn(512, 256)
    for dtype in (torch.float64, torch.bfloat16):
        assert not by_onednn(x.to(dtype), weight.to(dtype))
        assert product(x.to(dtype), weight.to(dtype)).dtype is dtype
    assert not by_onednn(x[:1, :8], weight[:, :8])  # tiny
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype is torch.bfloat16


def test_a_second_derivative_is_refused() -> None:
    x, layer = torch.randn(512, 256, requires_grad=True), Linear(256, 512)
    (dx,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    if products.HAS_ONEDNN:
        with pytest.raises(RuntimeError, match="once_differentiable"):
            dx.sum().backward()


@pytest.mark.slow
def test_compiled_equals_eager() -> None:
    layer = torch.nn.Sequential(Linear(128, 512), torch.nn.SiLU(), Linear(512, 128))
    x = torch.randn(768, 128)
    results = []
    for run in (layer, torch.compile(layer)):
        layer.zero_grad()
        y = run(x)
        y.square().mean().backward()
        results.append([y.detach(), *(p.grad for p in layer.parameters())])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(eager, compiled, rtol=1e-5, atol=1e-6)
