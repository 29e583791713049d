"""Translation models on equal terms: two LSTMs without and with attention, and the Transformer.

    python recipes/translation.py --data FOLDER --out DIR [--minutes 8] [--seeds 1] [--models attention …]

FOLDER holds multi30k.train.de.gz, .en.gz and multi30k.val.de.gz, .en.gz. Every model has the same
vocabulary, about the same number of parameters and the same time; BLEU is that of all 1,014 validation
sentences with four beams. Each run is a folder of its own, so that a call that was broken off goes on where
it was, and a later one with other --models or more --seeds adds to it. Writes results.json and
translation.svg (BLEU, and the loss over time). --no-evaluate trains alone.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shizuku.checkpoints.huggingface import read_json
from shizuku.checkpoints.run_record import json_text
from shizuku.config import from_dict
from shizuku.evaluation.bleu import evaluate_translation
from shizuku.progress import say
from shizuku.report.plots import Series, line
from shizuku.text.bitext import read_pairs
from shizuku.training.config import TrainConfig
from shizuku.training.from_pairs import train_on_pairs
from shizuku.training.resume import has_state
from shizuku.training.seeds import Interval
from shizuku.translation import Translator

ADAM = {
    "kind": "adamw", "learning_rate": 0.001, "embedding_learning_rate": None, "betas": [0.9, 0.98],
    "weight_decay": 0.0001,
}  # fmt: skip
PAPER = {"kind": "inverse-root", "warmup": 0.1}
LSTM = {"embedding_width": 192, "attention_width": 192, "layers": 1, "context": 64}
TRANSFORMER = {"width": 192, "heads": 6, "ffn_width": 768, "context": 64}
POST_NORM = {**TRANSFORMER, "norm_placement": "after", "final_norm": False}
MODELS: dict[str, dict[str, Any]] = {
    "no-attention": {
        "architecture": "lstm-seq2seq",
        "model": {**LSTM, "width": 528, "attention": "none", "reversed_source": True, "bidirectional": False},
    },
    "attention": {"architecture": "lstm-seq2seq", "model": {**LSTM, "width": 448}},
    "transformer": {"architecture": "encoder-decoder", "model": TRANSFORMER},
    "transformer-adam": {
        "architecture": "encoder-decoder", "model": TRANSFORMER,
        "loop": {"optimizer": ADAM, "schedule": PAPER},
    },
    "post-norm": {
        "architecture": "encoder-decoder",
        "model": POST_NORM,
        "loop": {"optimizer": ADAM, "schedule": PAPER},
    },
    "post-norm-no-warm-up": {
        "architecture": "encoder-decoder",
        "model": POST_NORM,
        "loop": {"optimizer": ADAM, "schedule": {"kind": "constant", "warmup": 0.0}},
    },
}  # fmt: skip
"""What differs between them; the presets and what architectures bring along do the rest."""


def config_of(name: str, seed: int, given: argparse.Namespace, out: Path) -> TrainConfig:
    """The whole run of a model."""
    chosen = MODELS[name]
    data = {
        f"{before}{side}": str(given.data / f"multi30k.{part}.{language}.gz")
        for before, part in (("", "train"), ("validation_", "val"))
        for side, language in (("source", "de"), ("target", "en"))
    }
    brought = dict(TrainConfig.brought_along({"architecture": chosen["architecture"]}))
    loop: dict[str, Any] = {**brought.pop("loop"), **chosen.get("loop", {})}
    loop |= {"seed": seed, "max_seconds": 60.0 * given.minutes, "resume": True, "evaluate_every": given.every}
    return from_dict(
        TrainConfig,
        {
            **brought, **data, "vocab_size": chosen.get("vocab_size", brought["vocab_size"]), "out": str(out),
            "architecture": chosen["architecture"], "threads": given.threads, "loop": loop,
            "setting": [f"{name}={value}" for name, value in chosen["model"].items()],
        },
    )  # fmt: skip


def run(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any] | None:
    """Train, unless that was done, and evaluate, unless that was done."""
    out = given.out / f"{name}-seed-{seed}"
    found = out / "bleu.json"
    if found.is_file():
        return read_json(found)
    record = read_json(out / "run.json")["metrics"] if has_state(out) else {"step": 0, "steps": 1}
    if record["step"] < record["steps"]:
        say(f"{name}, seed {seed}: training for {given.minutes:g} minutes")
        train_on_pairs(config_of(name, seed, given, out))
    if not given.evaluate:
        return None
    pairs = read_pairs(given.data / "multi30k.val.de.gz", given.data / "multi30k.val.en.gz")
    translator = Translator.load(out, threads=given.threads)
    quality = evaluate_translation(translator, pairs)
    record = read_json(out / "run.json")["metrics"]
    result = {
        "model": name,
        "seed": seed,
        "parameters": sum(parameter.numel() for parameter in translator.model.parameters()),
        "minutes": record["cost"]["seconds"] / 60,
        "steps": record["steps"],
        "tokens": record["tokens_seen"],
        "validation_loss": quality.nats_per_token,
        "bleu": quality.bleu.score,
        "signature": quality.bleu.signature,
        "seconds_to_translate": quality.seconds,
    }
    found.write_text(json_text(result), encoding="utf-8")
    (out / "translations.txt").write_text("\n".join(quality.translations) + "\n", encoding="utf-8")
    return result


def curve(out: Path) -> Series | None:
    """The validation loss of a run over its minutes."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [one for one in map(json.loads, lines) if "validation_loss" in one]
    if len(records) < 2:
        return None
    return Series(
        out.name.rpartition("-seed-")[0],
        [one["seconds"] / 60 for one in records],
        [one["validation_loss"] for one in records],
    )


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Run what is missing, and print and draw all that there is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--models", nargs="+", choices=list(MODELS), default=["no-attention", "attention", "transformer"]
    )
    parser.add_argument("--every", type=int, default=100, help="steps between looks at the validation loss")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--evaluate", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args(arguments)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    runs = [run(name, seed, given) for seed in seeds for name in given.models]
    results = [one for one in runs if one is not None]
    print("| model | parameters | minutes | steps | nats a token | BLEU |\n|---|---|---|---|---|---|")
    for name in given.models:
        some = [one for one in results if one["model"] == name]
        if some:
            scores, first = [one["bleu"] for one in some], some[0]
            said = f"{scores[0]:.2f}" if len(scores) == 1 else str(Interval.of(scores))
            loss = sum(one["validation_loss"] for one in some) / len(some)
            print(
                f"| {name} | {first['parameters']:,} | {first['minutes']:.1f} | {first['steps']:,} "
                f"| {loss:.3f} | {said} |"
            )
    drawn = [curve(given.out / f"{name}-seed-{given.first_seed}") for name in given.models]
    series = [one for one in drawn if one is not None]
    if series:
        (given.out / "translation.svg").write_text(
            line(series, x="minutes", y="nats a token"), encoding="utf-8"
        )
    (given.out / "results.json").write_text(json_text({"runs": results}), encoding="utf-8")
    return results


if __name__ == "__main__":
    main()
