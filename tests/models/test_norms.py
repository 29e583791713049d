"""The written-out gradient of the RMS norm is that of the formula, in float64."""

import pytest
import torch

from shizuku.models.layers.norms import RMSNorm, rms_norm


@pytest.mark.parametrize("shape", [(12, 64, 128), (2, 5, 3, 32), (7, 2), (1, 9), (9,)], ids=str)
@pytest.mark.parametrize("eps", [1e-6, 0.3])
def test_values_and_gradients_are_those_of_the_formula(shape: tuple[int, ...], eps: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, dy = (3 * torch.randn(shape, generator=generator) for _ in range(2))
    scale = torch.randn(shape[-1], generator=generator)
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [tensor.detach().clone().to(dtype).requires_grad_() for tensor in (x, scale)]
        if dtype is torch.float32:
            y = rms_norm(*leaves, eps)
            assert "RMSNorm" in type(y.grad_fn).__name__
        else:
            y = leaves[0] / (leaves[0].square().mean(-1, keepdim=True) + eps).sqrt() * leaves[1]
        y.backward(dy.to(dtype))
        results.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for ours, exact in zip(*results, strict=True):
        assert ((ours - exact).abs().max() / exact.abs().max()).item() < 2e-6


def test_a_frozen_scale_or_input_gets_no_gradient() -> None:
    norm, x = RMSNorm(16, eps=1e-6), torch.randn(4, 16, requires_grad=True)
    norm.weight.requires_grad_(False)
    norm(x).sum().backward()
    assert norm.weight.grad is None and x.grad is not None
    norm.weight.requires_grad_(True)
    norm(x.detach()).sum().backward()
    assert norm.weight.grad is not None
    with torch.no_grad():
        assert norm(x).grad_fn is None


def test_offset_adds_one_to_the_scale() -> None:
    norm, x = RMSNorm(16, eps=1e-6, offset=True), torch.randn(4, 16)
    torch.testing.assert_close(norm(x), rms_norm(x, torch.ones(16), 1e-6))
