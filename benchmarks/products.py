"""float32 matrix products by the two libraries in PyTorch's x86 build: MKL, which it takes, and oneDNN.

    python benchmarks/products.py
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/products.py     # as on a processor without AVX-512

GFLOP/s of a layer's forward product and of its two gradients, in turns, medians of 15 rounds.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from shizuku.models.layers.products import HAS_ONEDNN, outer_sum, product

SHAPES = [(768, 128, 128), (768, 128, 512), (4096, 384, 384), (4096, 384, 1024), (4096, 1024, 384)]
ROUNDS = 15


def seconds(act: Callable[[], Tensor]) -> float:
    """How long one call takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def sides(rows: int, inputs: int, outputs: int) -> list[tuple[Callable[[], Tensor], Callable[[], Tensor]]]:
    """The product and its two gradients, each by MKL and by oneDNN."""
    x, weight, dy = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)
    return [
        (lambda: x @ weight.T, lambda: product(x, weight)),
        (lambda: dy @ weight, lambda: product(dy, weight.t())),
        (lambda: dy.T @ x, lambda: outer_sum(dy, x)),
    ]


def main() -> None:
    """Print one Markdown row a shape: GFLOP/s of MKL and oneDNN, and their ratio."""
    if not HAS_ONEDNN:
        raise SystemExit("this build of PyTorch has no oneDNN for this processor")
    print("| rows x inputs x outputs | forward | input's gradient | weight's gradient |")
    print("|---|---|---|---|")
    for rows, inputs, outputs in SHAPES:
        cells = []
        for mkl, onednn in sides(rows, inputs, outputs):
            seconds(mkl)
            seconds(onednn)
            taken = [(seconds(mkl), seconds(onednn)) for _ in range(ROUNDS)]
            a, b = (2e-9 * rows * inputs * outputs / statistics.median(c) for c in zip(*taken, strict=True))
            cells.append(f"{a:.0f}, {b:.0f} ({b / a:.2f})")
        print(f"| {rows} x {inputs} x {outputs} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
