"""What each quantization scheme costs in bytes and in quality, and whether it keeps what its paper promises.

    python recipes/quantization_schemes.py MODEL … [--text PATH --heldout PATH] [--tokens 32768]
        [--calibration-tokens 32768] [--schemes int8 gptq4 …] [--claims]

Prints a Markdown table for each model: bytes in memory, bits a weight (scales, codebooks and indices
counted), perplexity before and after, rise in loss and KL divergence in nats a token with paired standard
errors, and the mean error of the blocks' outputs. Text is what `shizuku quantize` takes.
With --claims, the pass numbers of the methods too. Outliers that the model lacks are planted there without
changing what it computes: a few inner features of every feed-forward layer are divided by 16 on the way in
and multiplied by 16 on the way out.
"""

import argparse
import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from shizuku.checkpoints.directory import load_checkpoint, resolve
from shizuku.commands.quantization_text import Texts, texts_for
from shizuku.commands.quantize import Config
from shizuku.evaluation.divergence import Comparison, compare
from shizuku.models.decoder import Decoder
from shizuku.quantization.codebooks import best_codebook, nearest
from shizuku.quantization.layers import dequantised
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.scheme import Scheme, for_tables
from shizuku.quantization.surgery import TABLES, matrices, weight_bytes
from shizuku.quantization.whole import LayerReport, quantize_model

SCHEMES = {
    "int8": (Scheme(bits=8, symmetric=True), 8),
    "int4": (Scheme(bits=4), 8),
    "int4 symmetric": (Scheme(bits=4, symmetric=True), 8),
    "int4, groups of 32": (Scheme(bits=4, group_size=32), 8),
    "int4, tables too": (Scheme(bits=4), 4),
    "gptq4": (Scheme(method="gptq", bits=4), 8),
    "outlier4": (Scheme(method="outlier", bits=4), 8),
    "codebook4": (Scheme(method="codebook", bits=4), 8),
    "int3": (Scheme(bits=3), 8),
    "gptq3": (Scheme(method="gptq", bits=3), 8),
    "outlier3": (Scheme(method="outlier", bits=3), 8),
    "codebook3": (Scheme(method="codebook", bits=3), 8),
    "codebook3, no scales": (Scheme(method="codebook", bits=3, group_size=0), 8),
    "int2": (Scheme(bits=2), 8),
    "gptq2": (Scheme(method="gptq", bits=2), 8),
    "codebook2": (Scheme(method="codebook", bits=2), 8),
}
COLUMNS = ("scheme", "bytes", "bits a weight", "perplexity", "change", "loss", "KL", "output error")
PLANTED, FACTOR = 0.004, 16.0
Tried = tuple[Comparison, dict[str, LayerReport], int]


def quantized(
    model: Decoder, scheme: Scheme, tables: int, texts: Texts
) -> tuple[Decoder, dict[str, LayerReport]]:
    """A packed copy of the model, and what became of each layer."""
    copied = copy.deepcopy(model)
    schemes = {name: for_tables(scheme, tables) if name in TABLES else scheme for name in matrices(copied)}
    wanted = {name: one for name, one in schemes.items() if one is not None}
    return copied, quantize_model(copied, wanted, texts.calibration.batches())


def tried(model: Decoder, scheme: Scheme, tables: int, texts: Texts) -> Tried:
    """A scheme's comparison with the model, its layers, and its bytes."""
    packed, layers = quantized(model, scheme, tables, texts)
    return compare(model, packed, texts.heldout), layers, weight_bytes(packed)


def blocks_error(layers: dict[str, LayerReport]) -> list[float]:
    """The output errors of the blocks' layers."""
    return [
        math.nan if one.output_error is None else one.output_error
        for name, one in layers.items()
        if name not in TABLES
    ]


def table(model: Decoder, texts: Texts, names: list[str]) -> dict[str, Tried]:
    """Print the table of the schemes."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    found: dict[str, Tried] = {}
    for name in names:
        seen, layers, size = found[name] = tried(model, *SCHEMES[name], texts)
        if len(found) == 1:
            print(f"| float32 | {4 * parameters:,} | 32.00 | {seen.perplexity_before:.4f} | | | | |")
        cells = (
            name,
            f"{size:,}",
            f"{8 * size / parameters:.2f}",
            f"{seen.perplexity_after:.4f}",
            f"{seen.perplexity_after / seen.perplexity_before - 1:+.2%}",
            f"{seen.loss_increase:+.4f} ± {seen.loss_error:.4f}",
            f"{seen.kl:.5f} ± {seen.kl_error:.5f}",
            f"{np.mean(blocks_error(layers)):.5f}",
        )
        print("| " + " | ".join(cells) + " |", flush=True)
    return found


def rounding_claim(model: Decoder) -> None:
    """The squared error of rounding beside a twelfth of the squared step, on the model's own matrices."""
    for bits, group in ((8, 0), (4, 0), (4, 64)):
        error = step = 0.0
        for layer in matrices(model).values():
            weight = layer.weight.detach()
            found = quantize_matrix(weight, Scheme(bits=bits, group_size=group))
            widths = found.arrays["scales"].float().repeat_interleave(found.layout.group, 1)
            step += float(widths[:, : weight.shape[1]].square().sum()) / 12
            error += float((dequantised(found.layout, found.arrays) - weight).square().sum())
        exact = f"; the two exact ends of {group} account for {1 - 2 / group:.4f}" if group else ""
        print(
            f"- rounding, {bits} bits, group {group or 'row'}: error / (step² / 12) = "
            f"{error / step:.4f}{exact}"
        )


def gptq_claims(found: dict[str, Tried]) -> None:
    """GPTQ beside rounding: the outputs' errors layer by layer, and the perplexity."""
    for bits in (4, 3):
        plain, curved = found[f"int{bits}"], found[f"gptq{bits}"]
        ratios = np.array(blocks_error(curved[1])) / np.array(blocks_error(plain[1]))
        whole = [one[0].perplexity_after - one[0].perplexity_before for one in (plain, curved)]
        print(
            f"- gptq, {bits} bits: output error / rounding's {ratios.mean():.3f} (mean; largest "
            f"{ratios.max():.3f}, {np.mean(ratios <= 0.7):.0%} of the layers at 0.7 or less); closes "
            f"{1 - whole[1] / whole[0]:.1%} of rounding's perplexity gap"
        )


def codebook_claims(model: Decoder) -> None:
    """The distortion on normal numbers, and a codebook of each layer beside one for all."""
    normal = np.random.default_rng(0).standard_normal(2_000_000)
    for bits, known in ((2, 0.11748), (3, 0.03455), (4, 0.00950)):
        codebook = best_codebook(normal, 2**bits)
        error = np.mean((codebook[nearest(normal, codebook)] - normal) ** 2) / np.mean(normal**2)
        layers = [layer.weight.detach() for name, layer in matrices(model).items() if name not in TABLES]
        scheme = Scheme(method="codebook", bits=bits, group_size=0)
        together = np.concatenate([layer.numpy().ravel() for layer in layers])
        shared = best_codebook(together, 2**bits)
        sizes = [layer.square().sum().item() for layer in layers]
        own, common = (
            sum(
                quantize_matrix(la, scheme, codebook=c).weight_error * s
                for la, s in zip(layers, sizes, strict=True)
            )
            for c in (None, shared)
        )
        print(
            f"- codebook, {bits} bits: {error:.5f} on N(0, 1) ({error / known - 1:+.2%} of {known}); squared "
            f"error of the model's matrices, each with its own / one for all {own / common:.3f}"
        )


@torch.no_grad()
def planted(model: Decoder) -> Decoder:
    """A copy that computes the same with outliers in every feed-forward output matrix."""
    copied, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    for block in copied.blocks:
        inner = block.feedforward.down.weight.shape[1]
        chosen = torch.randperm(inner, generator=generator)[: max(1, round(PLANTED * inner))]
        block.feedforward.up.weight[chosen] /= FACTOR
        block.feedforward.down.weight[:, chosen] *= FACTOR
    return copied


def outlier_claims(model: Decoder, texts: Texts) -> None:
    """How much of the loss that is left half a percent of outliers recovers, with and without planting."""
    for label, one in (("as it is", model), ("planted", planted(model))):
        for method in ("rtn", "gptq"):
            scheme = Scheme(method=method, bits=3)  # type: ignore[arg-type]
            without, _, _ = tried(one, scheme, 8, texts)
            kept, layers, _ = tried(one, replace(scheme, outliers=0.005), 8, texts)
            blocks = [la.layout for name, la in layers.items() if name not in TABLES]
            bits = 8 * sum(la.bytes for la in blocks) / sum(math.prod(la.shape) for la in blocks)
            print(
                f"- outliers, {label}, {method} 3 bits: loss {without.loss_increase:+.4f} → "
                f"{kept.loss_increase:+.4f} (± {kept.loss_error:.4f}), "
                f"{1 - kept.loss_increase / without.loss_increase:.1%} recovered; KL {without.kl:.4f} → "
                f"{kept.kl:.4f}; {bits:.3f} bits a weight in the blocks, indices counted",
                flush=True,
            )


def main(arguments: list[str] | None = None) -> None:
    """Print the tables and, if asked, the claims."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--text", type=Path, nargs="*", default=[])
    parser.add_argument("--heldout", type=Path, nargs="*", default=[])
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--calibration-tokens", type=int, default=65_536)
    parser.add_argument("--schemes", nargs="+", choices=list(SCHEMES), default=list(SCHEMES))
    parser.add_argument("--claims", action="store_true")
    given = parser.parse_args(arguments)
    for name in given.models:
        checkpoint = load_checkpoint(resolve(name))
        assert checkpoint.tokenizer is not None, f"{name} has a tokenizer"
        config = Config(
            model=name, out=Path("unused"), text=tuple(given.text), heldout=tuple(given.heldout),
            calibration_tokens=given.calibration_tokens, heldout_tokens=given.tokens,
        )  # fmt: skip
        texts = texts_for(config, checkpoint, checkpoint.tokenizer)
        size = sum(parameter.numel() for parameter in checkpoint.model.parameters())
        print(f"\n{Path(name).name}: {size:,} parameters, {texts.heldout.scored:,} tokens, calibrated on "
              f"{texts.calibration.scored:,}\n")  # fmt: skip
        found = table(checkpoint.model, texts, given.schemes)
        if given.claims:
            print()
            rounding_claim(checkpoint.model)
            gptq_claims(found)
            codebook_claims(checkpoint.model)
            outlier_claims(checkpoint.model, texts)


if __name__ == "__main__":
    main()
