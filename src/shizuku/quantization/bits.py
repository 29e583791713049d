"""Numbers of 2 to 8 bits packed into bytes, and back. Nothing here needs torch.

Eight numbers of b bits take b bytes: number j of the eight has the bits j b to (j + 1) b - 1, the lowest
first, of those bytes read as one little-endian number. Rows are filled up to a multiple of eight numbers.
R rows, C columns.
"""

import math

import numpy as np


def pack(codes_RC: np.ndarray, bits: int) -> np.ndarray:
    """Return uint8 [R, ceil(C / 8) bits] for codes below 2^bits."""
    rows, columns = codes_RC.shape
    assert codes_RC.size == 0 or int(codes_RC.max()) < 2**bits, f"a code needs more than {bits} bits"
    if bits == 8 and columns % 8 == 0:
        return np.ascontiguousarray(codes_RC, dtype=np.uint8)
    eights = math.ceil(columns / 8)
    words = np.zeros((rows, eights), dtype=np.uint64)
    filled = np.zeros((rows, eights, 8), dtype=np.uint8)
    filled.reshape(rows, -1)[:, :columns] = codes_RC
    for place in range(8):
        words |= filled[:, :, place].astype(np.uint64) << np.uint64(bits * place)
    packed = words.astype("<u8").view(np.uint8).reshape(rows, eights, 8)[:, :, :bits]
    return np.ascontiguousarray(packed).reshape(rows, eights * bits)


def unpack(numbers_RB: np.ndarray, bits: int, columns: int) -> np.ndarray:
    """Undo `pack`: uint8 [R, columns]."""
    rows = numbers_RB.shape[0]
    if bits == 8:
        return numbers_RB[:, :columns]
    bytes_REb = numbers_RB.reshape(rows, -1, bits)
    words = np.zeros(bytes_REb.shape[:2], dtype=np.uint64)
    for place in range(bits):
        words |= bytes_REb[:, :, place].astype(np.uint64) << np.uint64(8 * place)
    codes = np.empty((rows, words.shape[1], 8), dtype=np.uint8)
    mask = np.uint64(2**bits - 1)
    for place in range(8):
        codes[:, :, place] = words >> np.uint64(bits * place) & mask
    return codes.reshape(rows, -1)[:, :columns]
