"""GPTQ and outliers on matrices whose inputs are known: better than rounding, by as much as they promise."""

import pytest
import torch
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.quantization.gptq import BLOCK, gptq, inverse_factor
from shizuku.quantization.layers import dequantised
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.outliers import choose_outliers
from shizuku.quantization.rounding import codes_of, grid_of, plain_grid
from shizuku.quantization.scheme import Scheme, layout_of

COLUMNS = BLOCK + 64


def _weight(seed: int = 0) -> Tensor:
    return torch.randn(48, COLUMNS, generator=torch.Generator().manual_seed(seed)) * 0.1


def _inputs(seed: int = 5) -> Tensor:
    """Inputs as layers have them: their features share directions, and some are larger than others."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(COLUMNS // 4, COLUMNS, generator=generator)
    own = torch.randn(4096, COLUMNS, generator=generator) * 0.5
    sizes = torch.rand(COLUMNS, generator=generator) * 2 + 0.1
    return (torch.randn(4096, COLUMNS // 4, generator=generator) @ mixing / 4 + own) * sizes


def _hessian(x: Tensor) -> Tensor:
    return x.t() @ x / len(x)


def _output_error(scheme: Scheme, hessian: Tensor | None, x: Tensor, weight: Tensor) -> float:
    found = quantize_matrix(weight, scheme, hessian)
    wrong = dequantised(found.layout, found.arrays) - weight
    return float((x @ wrong.t()).square().sum() / (x @ weight.t()).square().sum())


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_outputs_are_closer_than_after_rounding_also_on_other_inputs(bits: int, symmetric: bool) -> None:
    weight, hessian, others = _weight(), _hessian(_inputs()[:2048]), _inputs()[2048:]
    plain = Scheme(bits=bits, symmetric=symmetric, group_size=32)
    curved = Scheme(method="gptq", bits=bits, symmetric=symmetric, group_size=32)
    rounded = _output_error(plain, None, others, weight)
    assert _output_error(curved, hessian, others, weight) <= 0.7 * rounded


def test_the_error_that_is_reported_is_the_error_of_the_outputs() -> None:
    x, weight = _inputs(), _weight()
    found = quantize_matrix(weight, Scheme(method="gptq", bits=3), _hessian(x))
    measured = _output_error(Scheme(method="gptq", bits=3), _hessian(x), x, weight)
    assert found.output_error == pytest.approx(measured, rel=1e-3)


def test_it_is_the_column_by_column_algorithm() -> None:
    weight, hessian = _weight()[:6], _hessian(_inputs())
    layout = layout_of(Scheme(bits=3, group_size=32), (6, COLUMNS))
    scales, offsets = plain_grid(layout, grid_of(weight, layout))
    codes, _ = gptq(weight, hessian, scales, offsets, group=32, bits=3)
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True).tolist()
    left, work, naive = list(order), weight.double().clone(), torch.zeros(6, COLUMNS)
    damped = hessian.double() + 0.01 * hessian.diagonal().double().mean() * torch.eye(COLUMNS)
    for column in order:
        inverse = torch.linalg.inv(damped[left][:, left])  # of the columns that are left, as in OBQ
        scale, offset = scales[:, column // 32].double(), offsets[:, column // 32].double()
        naive[:, column] = ((work[:, column] - offset) / scale).round().clamp(0, 7).float()
        error = (work[:, column] - (naive[:, column] * scale + offset)) / inverse[0, 0]
        work[:, left] -= error[:, None] * inverse[0]
        left.remove(column)
    assert (codes.float() == naive).float().mean() > 0.995  # ties may fall either way


def test_inputs_that_never_vary_leave_rounding_to_nearest() -> None:
    weight, layout = _weight(), layout_of(Scheme(bits=3, group_size=32), (48, COLUMNS))
    grid = grid_of(weight, layout)
    codes, _ = gptq(weight, torch.eye(COLUMNS), *plain_grid(layout, grid), group=32, bits=3)
    assert torch.equal(codes, codes_of(weight, layout, grid))
    codes, _ = gptq(weight, torch.zeros(COLUMNS, COLUMNS), *plain_grid(layout, grid), group=32, bits=3)
    assert torch.equal(codes, codes_of(weight, layout, grid))


def test_a_hessian_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="no usable Hessian"):
        inverse_factor(torch.tensor([[1.0, 3.0], [3.0, 1.0]]))


def test_the_factor_is_that_of_the_damped_inverse() -> None:
    hessian = _hessian(_inputs())
    upper = inverse_factor(hessian).double()
    damped = hessian.double() + 0.01 * hessian.diagonal().double().mean() * torch.eye(COLUMNS)
    assert torch.allclose(upper.t() @ upper @ damped, torch.eye(COLUMNS, dtype=torch.float64), atol=1e-3)
    assert torch.equal(upper, upper.triu())


# ---- outliers


def _heavy_tailed() -> Tensor:
    """A matrix with half a percent of its numbers ten times as large: planted, as small models have few."""
    weight, generator = _weight(), torch.Generator().manual_seed(9)
    planted = torch.rand(weight.shape, generator=generator) < 0.004
    return torch.where(planted, 10 * weight.sign() * (0.1 + weight.abs()), weight)


@pytest.mark.parametrize("symmetric", [True, False])
def test_planted_outliers_are_found_and_the_budget_is_kept(symmetric: bool) -> None:
    weight = _heavy_tailed()
    layout = layout_of(Scheme(bits=3, symmetric=symmetric, group_size=64), (48, COLUMNS))
    kept = choose_outliers(weight, layout, 0.005, None)
    assert 0.003 * weight.numel() < int(kept.sum()) <= round(0.005 * weight.numel())
    planted = weight.abs() > 0.9
    assert (kept & planted).sum() >= 0.9 * planted.sum()  # the budget is 46 of 48
    assert not choose_outliers(weight, layout, 0.0, None).any()


@pytest.mark.parametrize("method", ["rtn", "gptq", "codebook"])
def test_outliers_in_float16_close_a_third_of_what_is_left_on_heavy_tails(method: str) -> None:
    weight, hessian, others = _heavy_tailed(), _hessian(_inputs()[:2048]), _inputs()[2048:]
    without = _output_error(Scheme(method=method, bits=3), hessian, others, weight)
    with_them = _output_error(Scheme(method=method, bits=3, outliers=0.005), hessian, others, weight)
    assert with_them <= 0.7 * without


def test_outliers_are_stored_as_they_are_and_counted() -> None:
    weight = _heavy_tailed()
    found = quantize_matrix(weight, Scheme(method="rtn", bits=3, outliers=0.005))
    layout, values = found.layout, dequantised(found.layout, found.arrays)
    kept = choose_outliers(weight, layout_of(Scheme(bits=3), (48, COLUMNS)), 0.005, None)
    assert layout.outliers == int(kept.sum()) > 0
    assert torch.equal(values[kept], weight[kept].half().float())
    # 3 bits, 2 x 16 bits for 64; a column of 8 bits, a value of 16, and 8 bits a row for how many there are.
    outliers = 24 * layout.outliers / weight.numel() + 8 / COLUMNS
    assert layout.bits_per_weight == pytest.approx(3 + 32 / 64 + outliers)
