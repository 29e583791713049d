"""The binding of the native library, by ctypes. Nothing here needs torch.

The numbers of kinds, parts and norms are those of `model.h`; layer -1 stands for what is outside the layers.
"""

import ctypes
import os
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_float, c_int, c_int32, c_uint64, c_void_p
from functools import cache
from typing import Any

import numpy as np

from shizuku.errors import ConfigError, ModelError, NativeLibraryError
from shizuku.quantization.native.sources import COMMAND, library_path, sources_digest
from shizuku.quantization.packed import PackedTensor

KINDS = {
    "f32": 0, "f16": 1, "bf16": 2, "q8_0": 3, "q4_0": 4, "q4_1": 5, "q5_0": 6, "q4_k": 7, "q5_k": 8,
    "q6_k": 9,
}  # fmt: skip
"""The packed kinds that have kernels."""
PARTS = {
    "attention.query": 0, "attention.key": 1, "attention.value": 2, "attention.output": 3,
    "feedforward.gate": 4, "feedforward.up": 5, "feedforward.down": 6, "embedding": 7, "unembedding": 8,
}  # fmt: skip
"""Matrices, as they are called inside a block or outside of all."""
NORMS = {
    "attention_norm": 0, "attention.query_norm": 1, "attention.key_norm": 2, "attention_output_norm": 3,
    "feedforward_norm": 4, "feedforward_output_norm": 5, "embedding_norm": 6, "final_norm": 7,
}  # fmt: skip
"""Norms, as they are called inside a block or outside of all."""
ACTIVATIONS = {"silu": 0, "gelu": 1, "gelu_tanh": 2, "relu": 3, "relu2": 4}
CACHES = {"f16": 0, "f32": 1, "int8": 2}
SET_VARIABLE = "SHIZUKU_INSTRUCTION_SET"
"""Environment variable that forces an instruction set."""

_WHOLE = (
    "vocab", "context", "width", "layers", "heads", "kv_heads", "head_width", "ffn_width", "layer_norm",
    "parallel", "shared_norm", "joint_norms", "activation", "rotary_width", "cache", "float_activations",
)  # fmt: skip
_REAL = (
    "norm_eps", "attention_scale", "attention_cap", "logit_cap", "embedding_multiplier",
    "residual_multiplier", "logit_multiplier",
)  # fmt: skip


class Settings(Structure):
    """What the library has to know of a model: `Settings` in `model.h`."""

    _fields_ = [(name, c_int32) for name in _WHOLE] + [(name, c_float) for name in _REAL]


_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "instruction_sets": (c_char_p, ()),
    "matrix_bytes": (c_uint64, (c_char_p, c_int, c_int, c_int)),
    "create": (c_char_p, (POINTER(Settings), c_char_p, c_int, c_uint64, POINTER(c_void_p))),
    "free": (None, (c_void_p,)),
    "matrix": (c_char_p, (c_void_p, c_int, c_int, c_int, c_int, c_int, c_void_p, c_uint64)),
    "adapter": (c_char_p, (c_void_p, c_int, c_uint64, POINTER(c_int))),
    "low_rank": (c_char_p, (c_void_p, *(c_int,) * 4, c_void_p, c_void_p, c_void_p)),
    "bias": (c_char_p, (c_void_p, c_int, c_int, c_void_p, c_int)),
    "norm": (c_char_p, (c_void_p, c_int, c_int, c_void_p, c_void_p, c_int)),
    "layer": (None, (c_void_p, c_int, c_int, c_int)),
    "rotary": (c_char_p, (c_void_p, c_int, c_void_p, c_int, c_float)),
    "slopes": (c_char_p, (c_void_p, c_void_p, c_int)),
    "positions": (c_char_p, (c_void_p, c_void_p, c_uint64)),
    "bandwidth": (c_char_p, (c_int, c_uint64, POINTER(c_double))),
    "block_bytes": (c_uint64, (c_void_p,)),
    "block_tokens": (c_int, ()),
    "reserve": (c_char_p, (c_void_p, c_int)),
    "copy_block": (None, (c_void_p, c_int, c_int)),
    "multiply": (c_char_p, (c_char_p, *(c_int,) * 3, c_void_p, c_uint64, c_void_p, c_int, c_int, c_void_p)),
    "forward": (c_char_p, (c_void_p, c_int, *(c_void_p,) * 7, c_int, c_void_p)),
}


@cache
def load() -> Any:
    """Return the library; NativeLibraryError if it is missing or not built from the sources beside it."""
    path = library_path()
    if not path.is_file():
        raise NativeLibraryError(
            f"the native library is not built: {COMMAND} builds it where a C++ compiler is"
        )
    try:
        library = ctypes.CDLL(str(path))
        library.shizuku_sources.restype = c_char_p
        carried = library.shizuku_sources().decode()
    except (OSError, AttributeError) as error:
        raise NativeLibraryError(
            f"{path.name} cannot be loaded ({error}): {COMMAND} builds it anew"
        ) from error
    if carried != sources_digest():
        raise NativeLibraryError(f"{path.name} was built from other sources than those beside it: {COMMAND}")
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"shizuku_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def instruction_sets() -> tuple[str, ...]:
    """Return the instruction sets that this processor has kernels for, best first."""
    return tuple(load().shizuku_instruction_sets().decode().split())


def chosen_set(wish: str | None) -> str:
    """Return the wished set, that of SHIZUKU_INSTRUCTION_SET, or the best; ConfigError if not here."""
    here, wish = instruction_sets(), wish or os.environ.get(SET_VARIABLE) or None
    if wish is not None and wish not in here:
        raise ConfigError(
            f"instruction set {wish!r} is not to be had here; this processor has {', '.join(here)}"
        )
    return wish or here[0]


def check(message: bytes | None) -> None:
    """ModelError with the library's message, if there is one."""
    if message is not None:
        raise ModelError(f"the native library refused: {message.decode()}")


def pointer(array: np.ndarray) -> int:
    """Return the address of an array's first element; the caller keeps the array."""
    return int(array.ctypes.data)


class NativeModel:
    """One model inside the library: weights in tiles, cache blocks, threads."""

    def __init__(self, settings: Settings, instruction_set: str, threads: int, weight_bytes: int) -> None:
        """Make a model without weights, with room for `weight_bytes` of them in tiles."""
        self._library = load()
        self._handle: c_void_p | None = c_void_p()
        check(
            self._library.shizuku_create(
                byref(settings), instruction_set.encode(), threads, weight_bytes, byref(self._handle)
            )
        )
        self.block_bytes = int(self._library.shizuku_block_bytes(self._handle))
        self.block_tokens = int(self._library.shizuku_block_tokens())

    def __del__(self) -> None:
        """Give threads and memory back."""
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            self._library.shizuku_free(handle)

    def matrix(self, layer: int, part: str, tensor: PackedTensor) -> None:
        """Take a weight; its data are copied."""
        (rows, cols), data = tensor.shape, tensor.data
        if data.strides[-1] != 1:
            data = np.ascontiguousarray(data)
        check(
            self._library.shizuku_matrix(
                self._handle,
                layer,
                PARTS[part],
                KINDS[tensor.kind],
                rows,
                cols,
                pointer(data),
                data.strides[0],
            )
        )

    def bias(self, layer: int, part: str, values: np.ndarray) -> None:
        """Take the bias of a matrix, float32 [rows]."""
        check(self._library.shizuku_bias(self._handle, layer, PARTS[part], pointer(values), len(values)))

    def norm(self, layer: int, part: str, weight: np.ndarray, bias: np.ndarray | None) -> None:
        """Take a norm's scale and bias, float32."""
        at = None if bias is None else pointer(bias)
        check(self._library.shizuku_norm(self._handle, layer, NORMS[part], pointer(weight), at, len(weight)))

    def layer(self, layer: int, *, window: int, rotary: int) -> None:
        """Say what a layer sees (0: everything) and which table of angles it turns by."""
        self._library.shizuku_layer(self._handle, layer, window, rotary)

    def rotary(self, table: int, frequencies: np.ndarray, amplitude: float) -> None:
        """Take the angles per token of a table, float32."""
        check(
            self._library.shizuku_rotary(
                self._handle, table, pointer(frequencies), len(frequencies), amplitude
            )
        )

    def slopes(self, slopes: np.ndarray) -> None:
        """Take ALiBi's slopes, float32 [heads]."""
        check(self._library.shizuku_slopes(self._handle, pointer(slopes), len(slopes)))

    def positions(self, table: np.ndarray) -> None:
        """Take learned positions, float32 [context, width]."""
        check(self._library.shizuku_positions(self._handle, pointer(table), table.size))

    def adapter(self, rank: int, weight_bytes: int) -> int:
        """Make room for an adapter of ranks up to `rank`, of so many bytes in tiles; its number."""
        number = c_int()
        check(self._library.shizuku_adapter(self._handle, rank, weight_bytes, byref(number)))
        return number.value

    def low_rank(
        self, layer: int, part: str, a: PackedTensor, b: PackedTensor, lengths: np.ndarray | None
    ) -> None:
        """Take what the newest adapter adds to a matrix, the scale inside B, and DoRA's lengths float32."""
        at = None if lengths is None else pointer(lengths)
        call, kind, rank = self._library.shizuku_low_rank, KINDS[a.kind], a.shape[0]
        check(call(self._handle, layer, PARTS[part], kind, rank, pointer(a.data), pointer(b.data), at))

    def reserve(self, blocks: int) -> None:
        """Make the cache at least so many blocks large."""
        check(self._library.shizuku_reserve(self._handle, blocks))

    def copy_block(self, source: int, target: int) -> None:
        """Copy one cache block onto another."""
        self._library.shizuku_copy_block(self._handle, source, target)

    def forward(
        self, spans: np.ndarray, ids: np.ndarray, blocks: np.ndarray, logits: bool, out: np.ndarray
    ) -> None:
        """Run spans int32 [5, n]: counts, starts, offsets in `blocks`; 0, 1 or 2 for none, last or all;
        numbers of adapters, -1 for none.
        """
        addresses = (pointer(spans) + row * spans.strides[0] for row in range(5))
        inputs = (*addresses, pointer(ids), pointer(blocks))
        call = self._library.shizuku_forward
        check(call(self._handle, spans.shape[1], *inputs, int(logits), pointer(out)))


def read_bandwidth(threads: int, megabytes: int = 512) -> float:
    """Return how many bytes a second so many threads read from memory, the best of eight passes."""
    found = c_double()
    check(load().shizuku_bandwidth(threads, megabytes << 20, byref(found)))
    return found.value


def matrix_bytes(instruction_set: str, tensor: PackedTensor) -> int:
    """Return how many bytes a weight takes in tiles."""
    rows, cols = tensor.shape
    return int(load().shizuku_matrix_bytes(instruction_set.encode(), KINDS[tensor.kind], rows, cols)) + 64


def multiply(instruction_set: str, tensor: PackedTensor, x: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """Return x times the transposed weight, float32 [count, rows], for x float32 [count, columns].

    `exact` keeps the activations floats; otherwise they are rounded in groups of 32 to eight bits where the
    weight is of integers. The arithmetic of a model's products, on one thread.
    """
    (rows, cols), data = tensor.shape, np.ascontiguousarray(tensor.data)
    x, out = np.ascontiguousarray(x, np.float32), np.empty((len(x), rows), np.float32)
    name, stride = instruction_set.encode(), data.strides[0]
    at = (pointer(data), stride, pointer(x), len(x), int(exact), pointer(out))
    check(load().shizuku_multiply(name, KINDS[tensor.kind], rows, cols, *at))
    return out
