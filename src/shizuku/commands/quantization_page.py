"""The report of `shizuku quantize`: one page with the sizes, the quality, and every layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shizuku.checkpoints.memory import readable
from shizuku.report.page import Card, Figure, Page
from shizuku.report.plots import Series, bars, line


def write_page(
    path: Path, result: dict[str, Any], curve: Sequence[tuple[int, int, float]], name: str
) -> Path:
    """Write the page from the verb's result and the curve of plain rounding (bits, bytes, rise in loss)."""
    page = Page("Fewer bits", f"{name}, {result['scheme']}: what it takes now, and what that changes.")
    share = result["memory_bytes"] / result["bytes_before"]
    ratio = result["perplexity_after"] / result["perplexity_before"] - 1
    page.cards(
        [
            Card(
                "weights file",
                readable(result["bytes"]),
                f"{share:.1%} of {readable(result['bytes_before'])}",
            ),
            Card("bits a weight", f"{result['bits_per_weight']:.2f}", "scales, codebooks, indices counted"),
            Card(
                "perplexity",
                f"{result['perplexity_after']:.3f}",
                f"{result['perplexity_before']:.3f} before, {ratio:+.2%}",
            ),
            Card(
                "KL divergence",
                f"{result['kl']:.4f}",
                f"nats a token; the same best token at {result['agreement']:.1%} of the places",
            ),
        ]
    )
    _sizes(page, result, curve)
    _layers(page, result["layers"])
    page.section("How it was measured")
    error = result["loss_error"]
    page.text(
        f"Both models scored the same {result['tokens']:,} tokens behind the same context. The loss rises by "
        f"{result['loss_increase']:+.4f} nats a token"
        + ("" if error is None else f", with a paired standard error of {error:.4f}")
        + f". Text: {result['text']}. Calibrated on {result['calibration_tokens']:,} tokens.",
    )
    page.commands(f"shizuku eval {result['checkpoint']} --text PATH", f"shizuku chat {result['checkpoint']}")
    return page.write(path)


def _sizes(page: Page, result: dict[str, Any], curve: Sequence[tuple[int, int, float]]) -> None:
    """Size against loss, with plain rounding at several bits beside this scheme."""
    page.section("Size against loss", "To the left is smaller, down is closer to the original.")
    here = Series("this scheme", [result["memory_bytes"] / 1e6], [max(result["loss_increase"], LEAST)])
    series = [here]
    if curve:
        plain = sorted(curve, key=lambda point: point[1])
        series.append(
            Series("plain rounding", [b / 1e6 for _, b, _ in plain], [max(loss, LEAST) for *_, loss in plain])
        )
    svg = line(series, x="weights in memory (MB)", y="rise in loss (nats a token)", log_y=True, marks=True)
    caption = "Rise in loss over the original."
    if curve:
        steps = ", ".join(str(bits) for bits, *_ in curve)
        caption += f" Beside it the blocks plainly rounded to {steps} bits, on part of the text."
    page.figures(Figure(svg, caption))


def _layers(page: Page, layers: Sequence[dict[str, Any]]) -> None:
    page.section(
        "Layer by layer",
        "Squared error of the numbers, and of the outputs on the calibration text, beside what they were.",
    )
    known = {row["name"]: row["output_error"] for row in layers if row["output_error"] is not None}
    worst = dict(sorted(known.items(), key=lambda item: -item[1])[:12])
    if worst:
        page.figures(Figure(bars(worst, x="output error"), "The layers whose outputs change most."))
    page.table(
        ("layer", "method", "bits", "bits a weight", "bytes", "outliers", "weight error", "output error"),
        [
            [
                row["name"],
                row["method"],
                row["bits"],
                row["bits_per_weight"],
                row["bytes"],
                row["outliers"],
                f"{row['weight_error']:.2e}",
                "–" if row["output_error"] is None else f"{row['output_error']:.2e}",
            ]
            for row in layers
        ],
    )


LEAST = 1e-5
"""Rises below this are drawn there: on a log axis zero has no place."""
