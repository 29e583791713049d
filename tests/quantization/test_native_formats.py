"""Products of the native library in every format, against the `gguf` package's own unpacking."""

import numpy as np
import pytest

from packed_weights import BLOCKS, PLAIN, random_weight
from shizuku.quantization.native import library
from shizuku.quantization.packed import PackedKind

pytestmark = pytest.mark.skipif(
    not library.library_path().is_file(), reason="the native library is not built"
)

SETS = ("portable", "avx2", "avxvnni", "avx512", "neon", "neon_dot")


def rounded(x: np.ndarray) -> np.ndarray:
    """Activations as integer products see them, float64."""
    groups = x.reshape(len(x), -1, 32)
    scales = np.abs(groups).max(-1, keepdims=True) / np.float32(127)
    whole = np.rint(groups * (np.float32(127) / np.abs(groups).max(-1, keepdims=True)))
    return (whole.astype(np.float64) * scales).reshape(x.shape)


def here(name: str) -> str:
    if name not in library.instruction_sets():
        pytest.skip(f"this processor has no {name}")
    return name


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", [*PLAIN, *BLOCKS])
def test_products_are_those_of_the_unpacked_weight(kind: PackedKind, name: str) -> None:
    weight, values = random_weight(kind, 37, 768)
    x = np.random.default_rng(1).standard_normal((11, 768), np.float32)
    seen = x.astype(np.float64) if kind in PLAIN else rounded(x)
    want = seen @ values.astype(np.float64).T
    got = library.multiply(here(name), weight, x)
    assert np.abs(got - want).max() < 2e-6 * want.std() * 768**0.5


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", [*PLAIN, *BLOCKS])
def test_float_activations_see_exactly_the_unpacked_weight(kind: PackedKind, name: str) -> None:
    weight, values = random_weight(kind, 37, 256)
    got = library.multiply(here(name), weight, np.eye(256, dtype=np.float32), exact=True)
    np.testing.assert_array_equal(got, values.T)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", [*PLAIN, *BLOCKS])
def test_a_row_does_not_depend_on_its_company(kind: PackedKind, name: str) -> None:
    weight, _ = random_weight(kind, 40, 512)
    x = np.random.default_rng(2).standard_normal((53, 512), np.float32)
    together = library.multiply(here(name), weight, x)
    alone = np.concatenate([library.multiply(name, weight, x[i : i + 1]) for i in range(53)])
    np.testing.assert_array_equal(together, alone)
    for first, last in ((0, 2), (2, 5), (5, 12), (12, 25), (25, 53)):
        np.testing.assert_array_equal(library.multiply(name, weight, x[first:last]), alone[first:last])
