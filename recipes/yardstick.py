"""Every language model of the package on one yardstick: the same text, as many parameters, as much time.

    python recipes/yardstick.py --data DATA --out DIR [--models decoder lstm ngram-5 …] [--seeds 0 1 2]
        [--texts town wikitext soseki] [--seconds 90] [--parameters 1000000] [--docs docs/yardstick.md]

A model is an architecture of the registry (its preset `tiny` made as wide as --parameters allow, another one
with NAME:PRESET), one of these with settings of its own (`VARIANTS`), or ngram-ORDER[-SMOOTHING]. Each is
trained for --seconds by the clock with the package's own settings, so leave the machine alone meanwhile. Bits
per byte are of held-out text in windows of --context tokens; speed of generation is one sequence's, by the
runtime that a user gets; memory is what one sequence takes beside the weights. Masked models have a table of
their own: pseudo-perplexity compares with nothing else.

Every run is a line of DIR/runs.jsonl; what stands there is not made again, so a long table can be made in
several sittings; --report-only makes none. Tables and plots show the runs with the settings that are given.
The next architecture joins by itself.
"""

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from yardstick_texts import TEXTS, baselines, prepare, spread

import shizuku
from shizuku.config import from_dict, to_dict
from shizuku.evaluation.perplexity import evaluate_text
from shizuku.inference.speed import measure, median
from shizuku.models.architectures import architecture, names
from shizuku.progress import say
from shizuku.report.ledger import Ledger
from shizuku.report.markdown import table, write_section
from shizuku.report.plots import bars
from shizuku.text.documents import Document, read_documents
from shizuku.training.config import TrainConfig
from shizuku.training.cost import parameter_total
from shizuku.training.counting.from_text import count_text
from shizuku.training.from_text import train_on_text
from shizuku.training.model_settings import NGramSettings
from shizuku.training.seeds import Interval
from shizuku.training.sizing import preset_values, sized

SMOOTHINGS = get_args(NGramSettings.__dataclass_fields__["smoothing"].type)
COUNTED = ("ngram-3", "ngram-5", "ngram-5-katz", "ngram-5-jelinek-mercer", "ngram-5-add-k")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mamba-1": ("mamba", {"heads": None}),
    "mamba-2": ("mamba", {}),
}
"""Several models of one architecture: what they are called, and what is changed in its preset."""
SETTINGS = ("parameters", "vocab_size", "context", "batch_size", "megabytes", "heldout_bytes")
"""What all runs of one table have in common, besides the time."""
CONTEXTS = (512, 4096)
PROMPT, MADE = 128, 64


def counted(model: str) -> NGramSettings | None:
    """The settings of an n-gram model by its name; None for what is not called so."""
    kind, _, rest = model.partition("-")
    order, _, smoothing = rest.partition("-")
    if kind != "ngram" or not order.isdecimal() or smoothing not in ("", *SMOOTHINGS):
        return None
    return NGramSettings(order=int(order), smoothing=smoothing or "kneser-ney")  # type: ignore[arg-type]


def is_masked(model: str) -> bool:
    """Whether a model hides tokens instead of continuing texts."""
    return counted(model) is None and architecture(told_apart(model)[0]).runs == "whole"


def told_apart(model: str) -> tuple[str, str, dict[str, Any]]:
    """The architecture, the preset and the changed settings that a model's name stands for."""
    name, _, preset = model.partition(":")
    name, settings = VARIANTS.get(name, (name, {}))
    if not preset:
        presets = architecture(name).presets
        preset = "tiny" if not presets or "tiny" in presets else next(iter(presets))
    return name, preset, settings


def known_models() -> tuple[str, ...]:
    """All language models there are."""
    found: list[str] = []
    for name in names():
        if architecture(name).runs != "pairs":
            found += [model for model, (of, _) in VARIANTS.items() if of == name] or [name]
    return (*COUNTED, *found)


def run(model: str, folder: Path, out: Path, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Train a model on a text, and measure it."""
    common: dict[str, Any] = {
        "text": (str(folder / "train.parquet"),), "out": out, "validation": 0.0,
        "batch_size": given.batch_size, "threads": given.threads, "vocab_size": given.vocab_size,
    }  # fmt: skip
    begun = time.process_time()
    own = counted(model)
    if own is not None:
        config = TrainConfig(architecture="ngram", ngram=own, tokenizer=folder / "tokenizer", **common)
        result: Any = count_text(config)
        size = sum(result.ngrams)
    else:
        config, size = learned(model, folder, seed, given, common)
        result = train_on_text(config)
    figures = {
        "parameters": size, "tokens_seen": result.tokens_seen, "seconds": result.seconds,
        "train_tokens_per_second": result.tokens_per_second,
        "processor_seconds": time.process_time() - begun,
    }  # fmt: skip
    return figures | measured(result.checkpoint, folder, given, masked=is_masked(model))


def learned(
    model: str, folder: Path, seed: int, given: argparse.Namespace, common: Mapping[str, Any]
) -> tuple[TrainConfig, int]:
    """The run of a neural model, in the size that is asked for, and its number of parameters."""
    name, preset, settings = told_apart(model)
    shape = sized(
        name,
        preset,
        parameters=given.parameters,
        vocab_size=given.vocab_size,
        context=given.context,
        **settings,
    )
    ours, widths = to_dict(shape), [key for key in preset_values(name, preset) if key.endswith("width")]
    changed = {key: ours[key] for key in ("context", *widths, *settings)}
    brought = dict(TrainConfig.brought_along({"architecture": name, "preset": preset}))
    loop = {"max_seconds": given.seconds, "seed": seed, "save_minutes": None, "log_every": 50}
    common = {key: str(value) if isinstance(value, Path) else value for key, value in common.items()}
    values = (
        brought | common | {"architecture": name, "preset": preset, "loop": brought.get("loop", {}) | loop}
    )
    if not is_masked(model):  # those bring a vocabulary with marks for what is hidden
        values["tokenizer"] = str(folder / "tokenizer")
    if name == "decoder":
        values["model"] = changed
    else:
        values["setting"] = [f"{key}={json.dumps(value)}" for key, value in changed.items()]
    return from_dict(TrainConfig, values), parameter_total(shape)


def measured(checkpoint: Path, folder: Path, given: argparse.Namespace, *, masked: bool) -> dict[str, Any]:
    """Bits per byte of the held-out text, speeds and memory of a checkpoint."""
    lm = shizuku.load(checkpoint, threads=given.threads)
    heldout = list(read_documents([folder / "heldout.parquet"]))
    weights = sum(
        path.stat().st_size for path in checkpoint.iterdir() if path.suffix in (".safetensors", ".npz")
    )
    if masked:
        return {"weight_bytes": weights, "pseudo_bits_per_byte": pseudo(lm, heldout, given)}
    found = evaluate_text(lm, heldout, window=given.context, stride=given.context // 2)
    runtime = lm.runtime
    speed = median(list(measure(runtime, prompt=PROMPT, made=MADE, rounds=3)))
    return {
        "bits_per_byte": found.bits_per_byte, "heldout_bytes": found.bytes, "weight_bytes": weights,
        "runtime": type(runtime).__name__, "read_tokens_per_second": speed.prefill,
        "made_tokens_per_second": speed.decode,
        "sequence_bytes": {
            str(tokens): -(-tokens // runtime.block_tokens) * runtime.block_bytes for tokens in CONTEXTS
        },
    }  # fmt: skip


def pseudo(lm: Any, heldout: Sequence[Document], given: argparse.Namespace) -> float:
    """Pseudo-log-likelihood in bits per byte, of pieces of half a window from all over."""
    nats, size = 0.0, 0
    for one in spread(list(heldout), given.pseudo_bytes):
        piece = one.text[: given.context].strip()
        ids = lm.tokenizer.encode(piece)[: given.context // 2]
        if not ids:
            continue
        score = lm.score([lm.tokenizer.decode(ids)])[0]
        nats -= float(score.token_logprobs.sum())
        size += len(lm.tokenizer.decode(ids).encode())
        if size >= given.pseudo_bytes:
            break
    return nats / size / math.log(2)


def missing(given: argparse.Namespace) -> Iterator[tuple[dict[str, Any], int]]:
    """The keys of all runs that are asked for, seed by seed, so that a broken-off table is even."""
    settings = {name: getattr(given, name) for name in SETTINGS}
    for seed in given.seeds:
        for text in given.texts:
            for model in given.models:
                own = counted(model) is not None
                if own and seed != given.seeds[0]:
                    continue  # counting draws no numbers
                key = {"text": text, "model": model, "seed": None if own else seed, **settings}
                yield key | {"seconds": None if own else given.seconds}, seed


def main(arguments: list[str] | None = None) -> str:
    """Make the runs that are missing, write tables and plots; returns the Markdown."""
    given = parsed(arguments)
    ledger = Ledger(given.out / "runs.jsonl")
    for key, seed in () if given.report_only else missing(given):
        if key in ledger:
            continue
        say(f"{key['model']} on {key['text']}, seed {seed}")
        folder, place = prepare(key["text"], given), given.out / "run"
        shutil.rmtree(place, ignore_errors=True)
        ledger.add(key, run(key["model"], folder, place, seed, given))
        shutil.rmtree(place, ignore_errors=True)
    for text in () if given.report_only else given.texts:
        if {"text": text, "baselines": True} not in ledger:
            ledger.add({"text": text, "baselines": True}, baselines(prepare(text, given)))
    markdown = report(ledger, given)
    (given.out / "yardstick.md").write_text(markdown, encoding="utf-8")
    if given.docs is not None:
        write_section(given.docs, "yardstick", markdown)
        for picture in sorted(given.out.glob("yardstick-*.svg")):
            shutil.copy(picture, given.docs.parent / picture.name)
    print(markdown)
    return markdown


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The settings of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SHIZUKU_DATA", "../shared/data")))
    parser.add_argument("--models", nargs="+", default=None, help="all there are when left out")
    parser.add_argument("--texts", nargs="+", choices=list(TEXTS), default=list(TEXTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--vocab-size", type=int, default=2048)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--megabytes", type=float, default=6.0, help="of the town")
    parser.add_argument("--heldout-bytes", type=int, default=100_000)
    parser.add_argument("--pseudo-bytes", type=int, default=10_000, help="of masked models' held-out text")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--report-only", action="store_true", help="make tables and plots of what is there")
    parser.add_argument("--docs", type=Path, help="the document whose section `yardstick` is to be written")
    given = parser.parse_args(arguments)
    given.models = given.models or list(known_models())
    for model in given.models:
        if counted(model) is None and model.partition(":")[0] not in {*names(), *VARIANTS}:
            parser.error(
                f"--models {model}: expected some of {', '.join(known_models())}, NAME:PRESET or "
                f"ngram-ORDER-SMOOTHING with a smoothing of {', '.join(SMOOTHINGS)}"
            )
    return given


def report(ledger: Ledger, given: argparse.Namespace) -> str:
    """Tables of all texts in Markdown; the plots are written beside the ledger."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {text: {} for text in TEXTS}
    baselines_of: dict[str, dict[str, float]] = {}
    for key, figures in ledger:
        if key.get("baselines"):
            baselines_of[key["text"]] = figures
        elif key["seconds"] in (None, given.seconds) and all(key[n] == getattr(given, n) for n in SETTINGS):
            runs[key["text"]].setdefault(key["model"], []).append(figures)
    parts = []
    for text, models in runs.items():
        if not models:
            continue
        causal = {name: found for name, found in models.items() if "bits_per_byte" in found[0]}
        others = baselines_of.get(text, {})
        picture = f"yardstick-{text}.svg"
        (given.out / picture).write_text(plot(causal, others), encoding="utf-8")
        parts.append(f"### {TEXTS[text][0].upper()}{TEXTS[text][1:]}\n\n{causal_table(causal, others)}")
        parts.append(f"![bits per byte by model]({picture})")
        masked = {name: found for name, found in models.items() if "pseudo_bits_per_byte" in found[0]}
        if masked:
            parts.append(masked_table(masked))
    return "\n\n".join(parts) + "\n"


def values_of(found: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """A figure of every seed."""
    return [float(figures[name]) for figures in found]


def plot(models: Mapping[str, Sequence[Mapping[str, Any]]], others: Mapping[str, float]) -> str:
    """Bits per byte as bars, the best on top."""
    heights = {name: Interval.of(values_of(found, "bits_per_byte")).mean for name, found in models.items()}
    ordered = dict(sorted((heights | dict(others)).items(), key=lambda item: item[1]))
    return bars(ordered, x="bits per byte of held-out text", number_format="{:.3f}")


def with_spread(values: Sequence[float]) -> str:
    """The mean, and half the width of its 95 % interval over seeds where there are several."""
    interval = Interval.of(values)
    return f"{interval.mean:.3f}" + (f" ± {interval.high - interval.mean:.3f}" if len(values) > 1 else "")


def causal_table(models: Mapping[str, Sequence[Mapping[str, Any]]], others: Mapping[str, float]) -> str:
    """One row a model, the best first; speeds and times are means over seeds."""
    rows = []
    for name, found in models.items():
        mean = {
            figure: Interval.of(values_of(found, figure)).mean
            for figure in ("bits_per_byte", "seconds", "tokens_seen", "train_tokens_per_second",
                           "read_tokens_per_second", "made_tokens_per_second")
        }  # fmt: skip
        memory = found[0]["sequence_bytes"]
        rows.append((mean["bits_per_byte"], [
            name, f"{found[0]['parameters']:,}", with_spread(values_of(found, "bits_per_byte")),
            str(len(found)),
            f"{mean['seconds']:.0f}", f"{mean['tokens_seen'] / 1e3:,.0f} k",
            f"{mean['train_tokens_per_second']:,.0f}", f"{mean['read_tokens_per_second']:,.0f}",
            f"{mean['made_tokens_per_second']:,.0f}", found[0]["runtime"].removesuffix("Runtime").lower(),
            f"{found[0]['weight_bytes'] / 1e6:.1f} MB",
            *(f"{memory[str(tokens)] / 1e3:,.0f} kB" for tokens in CONTEXTS),
        ]))  # fmt: skip
    rows += [(bits, [name, "", f"{bits:.3f}", *[""] * 10]) for name, bits in others.items()]
    headings = (
        "model", "parameters", "bits per byte", "seeds", "s", "tokens seen", "trained/s", "read/s", "made/s",
        "by", "weights", *(f"state at {tokens:,}" for tokens in CONTEXTS),
    )  # fmt: skip
    return table(headings, [cells for _, cells in sorted(rows, key=lambda row: row[0])])


def masked_table(models: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Masked models by themselves."""
    rows = [
        [
            name, f"{found[0]['parameters']:,}", with_spread(values_of(found, "pseudo_bits_per_byte")),
            str(len(found)), f"{Interval.of(values_of(found, 'train_tokens_per_second')).mean:,.0f}",
        ]
        for name, found in models.items()
    ]  # fmt: skip
    return table(("masked model", "parameters", "pseudo bits per byte", "seeds", "trained/s"), rows)


if __name__ == "__main__":
    main()
