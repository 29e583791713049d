"""Mixed precision: products in 16 bits where the device is fast at them, everything that adds up in float32.

The weights, the optimizer's state, the residual stream, the softmax and the loss stay float32; the matrix
products of the forward and backward passes take 16-bit copies (Micikevicius et al. 2018).
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from shizuku.errors import TrainingError
from shizuku.training.config import PrecisionName
from shizuku.training.distribution import sum_over_ranks

DTYPES: dict[PrecisionName, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
SLOWEST = 3.0
"""How many times longer than in float32 a product in 16 bits may take before a run is refused."""
SIDE = 256
"""Of the matrices that are multiplied to find out: large enough for the fast path, done in milliseconds."""


@contextmanager
def products_in(precision: PrecisionName, device: torch.device) -> Iterator[None]:
    """Inside the `with` block, matrix products take their factors in this precision."""
    if precision == "float32":
        yield
        return
    with warnings.catch_warnings(), torch.autocast(device.type, DTYPES[precision]):
        # Head norms see 16-bit heads and float32 weights: right, in a slower kernel, and told at length.
        warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
        yield


@dataclass(slots=True)
class LossScaler:
    """The factor on a float16 loss that keeps small gradients from vanishing; halved when they overflow.

    After Micikevicius et al. 2018: a step whose gradient is not finite is left out and the factor halved;
    after `growth` good steps in a row it is doubled. A factor of 1 is as low as it goes.
    """

    scale: float = 2.0**16
    """The factor: a power of two, so that scaling rounds nothing."""
    good: int = 0
    """Steps taken since the factor last changed."""
    skipped: int = 0
    """Steps left out so far."""
    growth: int = 2000
    """Good steps after which the factor is doubled."""

    def overflowed(self, loss: float, grad_norm: float) -> bool:
        """Note how a step went; whether to leave it out and try the next with half the factor.

        A loss that is not finite is no matter of the factor, nor is a gradient at a factor of 1: those are
        for the loop's own check.
        """
        if math.isfinite(grad_norm):
            self.good += 1
            if self.good == self.growth:
                self.scale, self.good = self.scale * 2, 0
            return False
        if not math.isfinite(loss) or self.scale <= 1:
            return False
        self.scale, self.good = max(1.0, self.scale / 2), 0
        self.skipped += 1
        return True

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `LossScaler(**values)` goes on."""
        return asdict(self)


def product_seconds(dtype: torch.dtype, device: torch.device) -> float:
    """Seconds that a product of two `SIDE` x `SIDE` matrices takes, the fastest of a few after a warm-up."""
    own = torch.Generator().manual_seed(0)  # measuring must not move the run's own random state
    a, b = (torch.randn(SIDE, SIDE, generator=own).to(device, dtype) for _ in range(2))
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        float((a @ b)[0, 0])  # waits for a device that works on its own
        best = min(best, time.perf_counter() - start)
    return best


def check_precision(
    precision: PrecisionName,
    device: torch.device,
    *,
    seconds: Callable[[torch.dtype, torch.device], float] = product_seconds,
) -> float:
    """How many times as long as in float32 a product takes in `precision` on `device`; measured now.

    TrainingError with the ratio where it is above `SLOWEST` for any process of the job: without instructions
    for 16-bit numbers, products are emulated and hundreds of times slower.
    """
    if precision == "float32":
        return 1.0
    ratio = seconds(DTYPES[precision], device) / seconds(torch.float32, device)
    slow = sum_over_ranks([float(ratio > SLOWEST)])[0]
    if slow:
        raise TrainingError(
            f"--loop.precision {precision}: on this device ({describe(device)}) a product of {SIDE} x {SIDE} "
            f"matrices takes {ratio:.3g} times as long in {precision} as in float32"
            + ("" if ratio > SLOWEST else f" (another process of this job saw more than {SLOWEST:g})")
            + ". Give --loop.precision float32, or --loop.no-check-precision to train slowly all the same"
        )
    return ratio


def describe(device: torch.device) -> str:
    """What the device is, and which instructions for 16-bit products it says it has."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    has = {
        "AVX512-BF16": torch.cpu._is_avx512_bf16_supported(),
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AMX-FP16": torch.cpu._is_amx_fp16_supported(),
    }
    found = ", ".join(name for name, there in has.items() if there)
    vectors = torch.backends.cpu.get_cpu_capability()
    return f"processor with {vectors} and {found or 'no instructions for 16-bit products'}"
