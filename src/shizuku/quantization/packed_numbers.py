"""What can be said of packed weights without unpacking them, in numpy."""

import numpy as np

from shizuku.quantization.packed import BLOCKS, PackedKind, PackedTensor

NUMBERS: dict[PackedKind, str] = {"f32": "<f4", "f16": "<f2", "bf16": "<u2"}
"""The numpy type of the float kinds; numpy has no bfloat16, so its bits are an integer."""
_BITS: dict[PackedKind, tuple[str, int]] = {
    "f32": ("<u4", 0x7F80_0000),
    "f16": ("<u2", 0x7C00),
    "bf16": ("<u2", 0x7F80),
}
"""The float kinds as integers, and the bits of their exponents: NaN and infinities have all of them."""
_SCALES: dict[PackedKind, tuple[int, ...]] = {
    "q8_0": (0,), "q4_0": (0,), "q4_1": (0, 2), "q5_0": (0,), "q4_k": (0, 2), "q5_k": (0, 2), "q6_k": (208,),
}  # fmt: skip
"""Where in a block the float16 scales stand; one that is not finite spoils every number of its block."""
_PIECE = 1 << 18
"""Numbers looked at together, so that what is made in between stays in the cache."""


def not_finite(tensor: PackedTensor) -> int:
    """How many numbers of a packed tensor are NaN or infinite."""
    if tensor.kind in _BITS:
        form, exponent = _BITS[tensor.kind]
        return sum(_all_bits(piece, exponent) for piece in _pieces(tensor.data.reshape(-1).view(form)))
    block, block_bytes = BLOCKS[tensor.kind]
    halves = tensor.data.reshape(-1).view("<u2").reshape(-1, block_bytes // 2)
    spoilt = np.zeros(len(halves), dtype=bool)
    for place in _SCALES[tensor.kind]:
        spoilt |= (halves[:, place // 2] & 0x7C00) == 0x7C00
    return block * int(np.count_nonzero(spoilt))


def as_float32(kind: PackedKind, numbers: np.ndarray) -> np.ndarray:
    """The values of a float kind's numbers (see NUMBERS) in float32, in the same shape."""
    if kind == "bf16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(np.float32)


def _pieces(numbers: np.ndarray) -> list[np.ndarray]:
    return [numbers[start : start + _PIECE] for start in range(0, len(numbers), _PIECE)]


def _all_bits(numbers: np.ndarray, bits: int) -> int:
    # The largest of the masked numbers tells in one pass over what is almost always sound.
    masked = numbers & numbers.dtype.type(bits)
    return int(np.count_nonzero(masked == bits)) if masked.max(initial=0) == bits else 0
