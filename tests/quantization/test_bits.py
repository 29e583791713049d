"""Packed bits: the same numbers back, in the order that the format says, in numpy and in torch."""

import numpy as np
import pytest
import torch

from shizuku.quantization import bits as packing
from shizuku.quantization.layers import unpack

BITS = range(2, 9)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("columns", [1, 7, 8, 31, 64])
def test_numbers_come_back_in_numpy_and_in_torch(bits: int, columns: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 2**bits, (5, columns), dtype=np.uint8)
    packed = packing.pack(codes, bits)
    assert packed.shape == (5, -(-columns // 8) * bits)
    assert np.array_equal(packing.unpack(packed, bits, columns), codes)
    assert np.array_equal(unpack(torch.from_numpy(packed), bits, columns).numpy(), codes)


def test_the_order_of_the_bits_is_the_one_that_is_written_down() -> None:
    codes = np.array([[5, 1, 7, 0, 2, 6, 3, 4]], dtype=np.uint8)
    whole = sum(int(code) << 3 * place for place, code in enumerate(codes[0]))
    assert packing.pack(codes, 3).tobytes() == whole.to_bytes(3, "little")


def test_a_code_that_needs_more_bits_is_refused() -> None:
    with pytest.raises(AssertionError, match="more than 3 bits"):
        packing.pack(np.array([[8]], dtype=np.uint8), 3)
