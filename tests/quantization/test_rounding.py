"""Rounding: the error that theory gives, grids that hold their range, and codebooks as good as there are."""

import itertools

import numpy as np
import pytest
import torch

from shizuku.quantization.codebooks import best_codebook, nearest
from shizuku.quantization.layers import dequantised
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.rounding import grid_of
from shizuku.quantization.scheme import Scheme, layout_of


def _normal(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", [4, 5, 6, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_error_is_a_twelfth_of_the_squared_step(bits: int, symmetric: bool) -> None:
    # Whole rows of 4,096: the two ends of a range are exact, which a group of 64 would feel (2 of 64).
    weight = torch.rand(64, 4096, generator=torch.Generator().manual_seed(1)) - 0.5
    found = quantize_matrix(weight, Scheme(bits=bits, group_size=0, symmetric=symmetric))
    step_R1 = found.arrays["scales"].float().abs()
    error_R = (dequantised(found.layout, found.arrays) - weight).square().mean(1)
    # A symmetric grid of an even number of points ends a step short of its range on one side.
    inside = weight if not symmetric or bits == 8 else None
    if inside is None:
        end_R1 = (step_R1 * (2 ** (bits - 1) - 1)) * found.arrays["scales"].float().sign()
        fits = (weight * end_R1.sign()) <= end_R1.abs()
        error_R = ((dequantised(found.layout, found.arrays) - weight).square() * fits).sum(1) / fits.sum(1)
    ratio = float(error_R.mean() / (step_R1.square().mean() / 12))
    assert abs(ratio - 1) < 0.02, ratio


def test_in_groups_the_two_exact_ends_are_all_that_is_missing() -> None:
    found = quantize_matrix(_normal(256, 4096), Scheme(bits=4, group_size=64))
    step = found.arrays["scales"].float().square().mean() / 12
    error = (dequantised(found.layout, found.arrays) - _normal(256, 4096)).square().mean()
    assert abs(float(error / step) * 64 / 62 - 1) < 0.02


@pytest.mark.parametrize(
    "scheme", [Scheme(bits=3, group_size=24), Scheme(bits=8, group_size=0, symmetric=True)]
)
def test_every_number_is_within_half_a_step_of_its_point(scheme: Scheme) -> None:
    weight = _normal(16, 80) + 3 * _normal(16, 1, seed=1)
    found = quantize_matrix(weight, scheme)
    step = found.arrays["scales"].float().repeat_interleave(found.layout.group, 1)[:, :80].abs()
    error = (dequantised(found.layout, found.arrays) - weight).abs()
    assert bool((error <= 0.5 * step + 2e-3 * weight.abs()).all())  # 2e-3: ends are float16


def test_constant_and_zero_groups_are_kept() -> None:
    weight = torch.zeros(4, 64)
    weight[1] = 0.25
    weight[2, :32] = -1.0
    for symmetric, group in itertools.product((True, False), (32, 0)):
        found = quantize_matrix(weight, Scheme(bits=4, group_size=group, symmetric=symmetric))
        assert torch.allclose(dequantised(found.layout, found.arrays), weight, atol=1e-3)
    assert found.weight_error < 1e-6


def test_a_grid_with_importance_is_narrower_where_that_is_better() -> None:
    weight = _normal(32, 128)
    layout = layout_of(Scheme(bits=2, group_size=64), (32, 128))
    importance = torch.rand(128, generator=torch.Generator().manual_seed(3)) + 0.1

    def error(grid: dict[str, torch.Tensor]) -> float:
        from shizuku.quantization.matrices import packed
        from shizuku.quantization.rounding import codes_of

        arrays = {"numbers": packed(codes_of(weight, layout, grid), 2), **grid}
        return float(((dequantised(layout, arrays) - weight).square() * importance).sum())

    assert error(grid_of(weight, layout, importance_C=importance)) < 0.75 * error(grid_of(weight, layout))


# ---- codebooks

NORMAL = np.random.default_rng(0).standard_normal(1_000_000)


@pytest.mark.parametrize(("bits", "distortion"), [(2, 0.11748), (3, 0.03455), (4, 0.00950)])
def test_a_codebook_is_as_good_as_theory_allows_on_normal_numbers(bits: int, distortion: float) -> None:
    codebook = best_codebook(NORMAL, 2**bits)
    found = float(np.mean((codebook[nearest(NORMAL, codebook)] - NORMAL) ** 2) / np.mean(NORMAL**2))
    assert abs(found / distortion - 1) < 0.01, found


def test_codes_are_those_of_the_nearest_centres() -> None:
    codebook = best_codebook(NORMAL[:500], 8)
    by_hand = np.abs(NORMAL[:500, None] - codebook[None]).argmin(1)
    assert np.array_equal(nearest(NORMAL[:500], codebook), by_hand)
    assert np.array_equal(codebook, np.sort(codebook))


@pytest.mark.parametrize("size", [4, 8, 16])
def test_no_cluster_is_empty_even_where_numbers_are_clumped(size: int) -> None:
    rng = np.random.default_rng(size)
    values = np.concatenate([rng.normal(0, 1e-4, 5000), rng.normal(50, 1e-4, 20), [-1000.0, 1000.0, 3.0]])
    codebook = best_codebook(values, size, rng.random(len(values)) + 0.01)
    assert np.bincount(nearest(values, codebook), minlength=size).min() > 0
    few = best_codebook(np.array([2.0, 1.0, 2.0]), size)
    assert few[:2].tolist() == [1.0, 2.0] and (few[1:] == 2.0).all()


def test_weights_draw_the_centres() -> None:
    values = np.concatenate([np.linspace(-1, 0, 500), np.linspace(0, 1, 500)])
    weights = np.where(values > 0, 100.0, 1.0)

    def error(codebook: np.ndarray) -> float:
        return float((weights * (codebook[nearest(values, codebook)] - values) ** 2).sum())

    assert error(best_codebook(values, 8, weights)) < 0.6 * error(best_codebook(values, 8))


def test_a_codebook_of_each_layer_beats_a_shared_one() -> None:
    layers = [_normal(64, 64, seed) * scale for seed, scale in enumerate((0.02, 0.1, 0.5))]
    scheme = Scheme(method="codebook", bits=3, group_size=0)
    shared = best_codebook(np.concatenate([layer.numpy().ravel() for layer in layers]), 8)
    for layer in layers:
        own = quantize_matrix(layer, scheme).weight_error
        assert own < 0.9 * quantize_matrix(layer, scheme, codebook=shared).weight_error
