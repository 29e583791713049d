"""The two state spaces: chunks equal steps with their gradients, far from one and near it."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from shizuku.models.layers import selective_scan as selective
from shizuku.models.layers.selective_scan import scan_by_steps, selective_scan
from shizuku.models.layers.state_space import space_by_steps, state_space

B, T, INNER, NUMBERS, HEADS, FEATURES, GROUPS = 3, 37, 10, 6, 6, 5, 2
STARTS_BT = torch.rand(B, T, generator=torch.Generator().manual_seed(9)) < 0.12


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def selective_inputs(speed: float) -> list[Tensor]:
    step_BTI, decay_NI = F.softplus(drawn(B, T, INNER, seed=1)) * speed, -drawn(NUMBERS, INNER, seed=2).exp()
    x_BTI, b_BTN, c_BTN = (drawn(B, T, n, seed=n) for n in (INNER, NUMBERS, NUMBERS + 1))
    return [x_BTI, step_BTI, decay_NI, b_BTN, c_BTN[..., :NUMBERS], drawn(B, NUMBERS, INNER, seed=3)]


def headed_inputs(speed: float) -> list[Tensor]:
    step_BTH, decay_H = F.softplus(drawn(B, T, HEADS, seed=1)) * speed, -drawn(HEADS, seed=2).exp()
    x_BTHP, state_BHPN = drawn(B, T, HEADS, FEATURES, seed=3), drawn(B, HEADS, FEATURES, NUMBERS, seed=4)
    b_BTGN, c_BTGN = (drawn(B, T, GROUPS, NUMBERS, seed=seed) for seed in (5, 6))
    return [x_BTHP, step_BTH, decay_H, b_BTGN, c_BTGN, state_BHPN]


def results(form: Callable[..., tuple[Tensor, Tensor]], inputs: list[Tensor], starts: Tensor | None) -> list:
    inputs = [each.clone().requires_grad_() for each in inputs]
    y, state = form(*inputs, starts)
    weight = torch.linspace(-1, 1, y.numel()).view_as(y)
    return [y.detach(), state.detach(), *torch.autograd.grad((y * weight).sum(), inputs)]


@pytest.mark.parametrize("starts", [None, STARTS_BT], ids=["one text", "documents"])
@pytest.mark.parametrize("speed", [0.01, 1.0, 60.0], ids=["slow", "usual", "forgets at once"])
def test_chunks_are_steps(speed: float, starts: Tensor | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selective, "CHUNK_NUMBERS", 8 * B * NUMBERS * INNER)

    def headed(*given: Tensor) -> tuple[Tensor, Tensor]:
        return state_space(*given, chunk=8)

    for by_steps, chunked, inputs in (
        (scan_by_steps, selective_scan, selective_inputs(speed)),
        (space_by_steps, headed, headed_inputs(speed)),
    ):
        expected, found = results(by_steps, inputs, starts), results(chunked, inputs, starts)
        for one, other in zip(found, expected, strict=True):
            assert torch.isfinite(one).all()
            assert float((one - other).abs().max()) <= 1e-5 * float(other.std())
