"""What 16-bit products do to training speed on this machine.

    OMP_NUM_THREADS=1 python benchmarks/half_precision.py

Times one product of 256 x 256 matrices, then interleaves training in float32 and in bfloat16, three times
each, and prints the medians and the median of the ratios. float16 is timed by its product alone.
"""

import statistics

import torch

from shizuku.models.decoder import DecoderConfig
from shizuku.training.precision import describe, product_seconds
from shizuku.training.presets import PRESETS, PresetName
from shizuku.training.speed import measure_speed

PRESET_NAMES: tuple[PresetName, ...] = ("tiny", "small")


def main() -> None:
    """Print the products' ratios and one Markdown row for each shape."""
    device = torch.device("cpu")
    plain = product_seconds(torch.float32, device)
    print(f"{describe(device)}, {torch.get_num_threads()} thread(s)")
    for dtype in (torch.bfloat16, torch.float16):
        ratio = product_seconds(dtype, device) / plain
        print(f"a product in {dtype} takes {ratio:.3g} times as long as in float32")
    print("| preset | float32, tokens/s | bfloat16, tokens/s | ratio |\n|---|---|---|---|")
    for name in PRESET_NAMES:
        config = DecoderConfig(vocab_size=4096, **PRESETS[name])
        pairs = [
            (
                measure_speed(config, batch=8, context=config.context),
                measure_speed(config, batch=8, context=config.context, precision="bfloat16"),
            )
            for _ in range(3)
        ]
        ratio = statistics.median(half / whole for whole, half in pairs)
        whole, half = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {name} | {whole:,.0f} | {half:,.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
