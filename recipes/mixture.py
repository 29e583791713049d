"""Eight experts, two a token, against a dense decoder with as many operations a token, on the same tokens.

    python recipes/mixture.py --out DIR --megabytes 8 --steps 400 --seeds 0 1 2 [--page PAGE.html]
    python recipes/mixture.py --out DIR --text neko.txt wikitext2.valid.txt --steps 400 --seeds 0 1 2

Without --text: the town. The variants differ in nothing but their feed-forward layers and what keeps the
experts in use. Printed as Markdown: held-out loss in nats a token, its difference from the dense decoder's
(a seed at a time), parameters in all and those that one token meets, tokens a second of training, and how
the whole held-out text was spread: the largest load of an expert over the mean one in the worst layer, the
experts of all layers that got nothing, and the router's entropy in nats. A run that is in --out already is
taken from there; --only runs some of the variants.
"""

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from shizuku.data.packing import PackedBatches, ValidationBatches
from shizuku.data.shards import ShardSet, write_shards
from shizuku.data.splitting import split_by_source
from shizuku.data.town import town_documents
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.models.layers.experts import sparse_layers, watched
from shizuku.report.page import Figure, Page
from shizuku.report.plots import Series, line
from shizuku.text.documents import Document, read_documents
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.batches import TensorBatch, on_device
from shizuku.training.config import LoopConfig
from shizuku.training.cost import active_parameters, parameter_total
from shizuku.training.expert_balance import loads_of
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken

CONTEXT = 128
BALANCED, NEITHER = {"balance_coefficient": 0.1}, {"balance_coefficient": 0.0}
SWITCH = {"experts_per_token": 1, "normalise_experts": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "dense": {"experts": 0},
    "balance loss": BALANCED,
    "balance loss 0.01": {"balance_coefficient": 0.01},
    "bias": {**NEITHER, "router_bias": True, "router_bias_rate": 0.003},
    "neither": NEITHER,
    "one expert, balance loss": {**BALANCED, **SWITCH},
    "one expert, neither": {**NEITHER, **SWITCH},
    "balance loss, capacity 1.25": {**BALANCED, "capacity_factor": 1.25},
}


def corpus(given: argparse.Namespace) -> tuple[ShardSet, ShardSet]:
    """Shards of training and held-out text; made once in --out."""
    folder = given.out / "shards"
    if not (folder / "done").is_file():
        if given.text:
            documents = list(read_documents(given.text))
            size = sum(len(document.text.encode()) for document in documents)
            split = split_by_source(documents, heldout_bytes=size // 20, seed=0)
            parts = {"train": split.train, "heldout": split.heldout}
        else:
            town = list(town_documents(megabytes=given.megabytes, seed=0))
            parts = {"train": [], "heldout": []}
            for d in town:
                place = parts["train" if d.split == "train" else "heldout"]
                place.append(Document(id=d.id, text=d.text, source=d.source))
        tokenizer = Tokenizer.train((d.text for d in parts["train"]), given.vocab_size)
        for name, some in parts.items():
            write_shards(some, tokenizer, folder / name)
        (folder / "done").touch()
    return ShardSet.open(folder / "train"), ShardSet.open(folder / "heldout")


def shape(vocab_size: int, width: int, variant: str) -> DecoderConfig:
    """The decoder of a variant; the experts of a token are together as wide as the dense layer."""
    hidden = width * 11 // 4
    settings: dict[str, Any] = {"experts": 8, "experts_per_token": 2} | VARIANTS[variant]
    each = hidden // settings["experts_per_token"] if settings["experts"] else 0
    return DecoderConfig(
        vocab_size=vocab_size, context=CONTEXT, width=width, layers=4, heads=width // 32, ffn_width=hidden,
        qk_norm=True, expert_width=each, **settings,
    )  # fmt: skip


@torch.no_grad()
def spread(model: Decoder, batches: Iterable[Any]) -> dict[str, float]:
    """How the tokens of all batches went to the experts."""
    model.eval()
    each: list[torch.Tensor] = []
    entropy, tokens = 0.0, 0
    for batch in batches:
        moved = on_device(batch, torch.device("cpu"))
        assert isinstance(moved, TensorBatch)
        mask_N = moved.mask_BT.reshape(-1)
        with watched(model) as seen:
            model.hidden(moved.ids_BT, segments_BT=moved.segments_BT, positions_BT=moved.positions_BT)
        each.append(torch.stack([loads_of(routing, mask_N) for routing in seen]).double())
        for routing in seen:
            scores_NE = routing.scores_NE[mask_N]
            entropy += float(torch.special.entr(scores_NE / scores_NE.sum(-1, keepdim=True)).sum())
            tokens += len(scores_NE)
    loads = torch.stack(each).sum(0)
    return {
        "load": float((loads.amax(-1) / loads.mean(-1)).max()),
        "idle": int((loads == 0).sum()),
        "entropy": entropy / tokens,
    }


def run(
    given: argparse.Namespace, shards: tuple[ShardSet, ShardSet], variant: str, seed: int
) -> dict[str, Any]:
    """Train one variant, or take what an earlier call found."""
    file = given.out / f"{variant.replace(' ', '-').replace(',', '')}-{seed}.json"
    if file.is_file():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    config = shape(shards[0].vocab_size, given.width, variant)
    model = Decoder(config)
    initialise(model, seed, zero_outputs=True)
    loop = LoopConfig(steps=given.steps, seed=seed, resume=True, save_minutes=None)
    source = PackedBatches(shards[0], context=CONTEXT, batch_size=16, seed=seed)
    validation = ValidationBatches(shards[1], context=CONTEXT, batch_size=64)
    result = train(
        model,
        NextToken(),
        source,
        loop,
        out=file.with_suffix(""),
        validation=validation,
        run={"variant": variant},
    )
    found = {
        "loss": result.validation_loss,
        "parameters": parameter_total(config),
        "active": active_parameters(config),
        "tokens": result.tokens_seen,
        "seconds": result.seconds,
        "speed": result.tokens_per_second,
        **(spread(model, validation) if sparse_layers(model) else {}),
        "loads": [
            [record["step"], record["experts/load"]] for record in result.history if "experts/load" in record
        ],
        "losses": [[record["step"], record["loss"]] for record in result.history],
    }
    file.write_text(json.dumps(found), encoding="utf-8")
    return found


def row(variant: str, runs: Sequence[dict[str, Any]], dense: Sequence[dict[str, Any]]) -> str:
    """One row of the table: means over the seeds."""

    def mean(key: str, how: str) -> str:
        return format(statistics.mean(one[key] for one in runs), how) if key in runs[0] else "–"

    gains = [one["loss"] - other["loss"] for one, other in zip(runs, dense, strict=False)]
    each = ", ".join(f"{gain:+.3f}" for gain in gains) if variant != "dense" else "–"
    return (
        f"| {variant} | {mean('loss', '.3f')} | {each} | {runs[0]['parameters']:,} | {runs[0]['active']:,} "
        f"| {mean('speed', ',.0f')} | {mean('seconds', '.0f')} | {mean('load', '.2f')} "
        f"| {mean('idle', '.1f')} | {mean('entropy', '.2f')} |"
    )


def page(found: dict[str, list[dict[str, Any]]], titles: Sequence[str], rows: Sequence[str]) -> Page:
    """The table, and how loads and losses went with the first seed."""
    made = Page("Experts", "Eight experts against a dense decoder with as many operations a token")
    made.section("Variants").table(titles, [line.strip("| ").split(" | ") for line in rows])
    made.section("The first seed, step by step")
    for key, title in {"loads": "largest load over the mean, worst layer", "losses": "nats a token"}.items():
        firsts = {variant: runs[0][key] for variant, runs in found.items() if runs[0][key]}
        series = [Series(variant, *zip(*points, strict=True)) for variant, points in firsts.items()]
        made.figures(Figure(line(series, x="step", y=title), title))
    return made


def main(arguments: list[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """Run the variants and print the table; returns what each run came to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--text", type=Path, nargs="+")
    parser.add_argument("--megabytes", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--vocab-size", type=int, default=2048)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--page", type=Path, help="write the table and curves as HTML")
    given = parser.parse_args(arguments)
    shards = corpus(given)
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in given.only}
    for seed in given.seeds:
        for variant in given.only:
            found[variant].append(run(given, shards, variant, seed))
    titles = (
        *("variant", "held-out loss", "less dense", "parameters", "active", "tokens/s", "seconds"),
        *("largest load", "idle", "entropy"),
    )
    print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|")
    rows = [row(variant, runs, found.get("dense", [])) for variant, runs in found.items()]
    print("\n".join(rows))
    if given.page:
        page(found, titles, rows).write(given.page)
    return found


if __name__ == "__main__":
    main()
