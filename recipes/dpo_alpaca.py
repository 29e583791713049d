"""DPO on real preference pairs: does the model come to prefer what people prefer, on prompts it has not seen?

    SHIZUKU_DATA=... python recipes/dpo_alpaca.py --out runs/dpo
    SHIZUKU_DATA=... python recipes/dpo_alpaca.py --out runs/dpo-real --model smollm2-135m-instruct

Without --model: three seeds of a micro model that is made here. It first learns to answer by both answers of
every training pair alike, so that nothing but DPO tells it which is preferred. With --model: one run of DPO
with an adapter on that model, about 24,000 tokens.

A tenth of the prompts is held out of everything by a digest. Reported are how often the held-out chosen
answer is likelier than the rejected one before and after (a token, as whole answers favour short ones), and
how often the implicit reward, by how much likelier it became than under the reference, is higher for it; that
is one half before, as the start is its own reference. Intervals are 95 % bootstrap intervals over the
held-out pairs.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig
from shizuku.tuning.align import align
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.config import TuneConfig, tuning_loop
from shizuku.tuning.pairs import PreferencePair, read_pairs, split_pairs
from shizuku.tuning.tune import tune

PACK = "preference/alpaca_style.pairs.json"
SEEDS = (0, 1, 2)
HELDOUT = 0.1
TOKENS = 24_000
"""Tokens that a pretrained model reads in training, about; a pair of these has 117."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Micro:
    """What a micro model is given."""

    vocab_size: int = 1024
    """Tokens of its vocabulary."""
    tuning_epochs: float = 3.0
    """How often it sees the answers before DPO."""
    epochs: float = 2.0
    """How often it sees the pairs."""


def loop(rate: float, seed: int, steps: int | None = None) -> LoopConfig:
    """Tuning's loop at a learning rate."""
    plain = tuning_loop()
    optimizer = replace(plain.optimizer, learning_rate=rate)
    return replace(plain, optimizer=optimizer, seed=seed, steps=steps, check_memory=False)


def both_answers(pairs: Sequence[PreferencePair], path: Path) -> Path:
    """Conversations of the pairs, each with the one answer and with the other."""
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs:
            for side in (pair.chosen, pair.rejected):
                file.write(json.dumps({"messages": [*pair.prompt, *side]}) + "\n")
    return path


def micro_base(pairs: Sequence[PreferencePair], out: Path, *, seed: int, size: Micro) -> Path:
    """A micro model that answers as the pairs do, the one way as gladly as the other."""
    texts = [str(turn["content"]) for pair in pairs for turn in (*pair.prompt, *pair.chosen, *pair.rejected)]
    tokenizer = Tokenizer.train(texts, size.vocab_size)
    model = Decoder(
        DecoderConfig(
            vocab_size=tokenizer.vocab_size,
            context=256,
            width=96,
            layers=3,
            heads=4,
            kv_heads=4,
            ffn_width=256,
        )
    )
    initialise(model, seed)
    bare = save_checkpoint(out / "bare", model=model, tokenizer=tokenizer)
    chats = both_answers(pairs, out / "both.jsonl")
    tuned = tune(
        TuneConfig(
            model=str(bare), data=(chats,), out=out / "base", epochs=size.tuning_epochs, validation=0.0,
            samples=0, report=False, loop=loop(3e-3, seed),
        )
    )  # fmt: skip
    return tuned.training.checkpoint


def micro_run(data: Path, out: Path, *, seed: int, size: Micro) -> dict[str, Any]:
    """One seed of the micro model: its figures before and after DPO."""
    trained, _ = split_pairs(read_pairs(data).items, HELDOUT, 0)
    out.mkdir(parents=True, exist_ok=True)
    base = micro_base(trained, out, seed=seed, size=size)
    result = align(
        AlignConfig(
            model=str(base), method="dpo", data=(data,), out=out / "aligned", epochs=size.epochs,
            validation=HELDOUT, samples=8, sample_tokens=40, loop=loop(3e-4, seed),
        )
    )  # fmt: skip
    return result.to_json()


def adapted_run(model: str, data: Path, out: Path) -> dict[str, Any]:
    """One run on a pretrained model with an adapter: its figures before and after DPO."""
    result = align(
        AlignConfig(
            model=model, method="dpo", data=(data,), out=out, validation=HELDOUT, samples=16,
            sample_tokens=48, lora=AdapterConfig(rank=8),
            loop=replace(loop(5e-4, 0, steps=TOKENS // (8 * 117)), evaluate_every=100, resume=True),
        )
    )  # fmt: skip
    return result.to_json()


def row(name: str, found: Mapping[str, Any]) -> str:
    """One row of the table."""

    def shown(key: str) -> str:
        mean, low, high = found[key]
        return f"{mean:.1%} ({low:.1%} to {high:.1%})"

    return (
        f"| {name} | {found['pairs']} | {found['heldout']} | {found['tokens']:,} "
        f"| {shown('likelier_per_token_before')} | {shown('likelier_per_token_after')} "
        f"| {shown('accuracy_after')} | {found['reward_after']:.2f} | {found['kl']:.2f} "
        f"| {found['seconds']:.0f} |"
    )


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Print a Markdown table, and return the figures of its rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="preference pairs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--model", help="a pretrained model, in place of micro models")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    for name, default in asdict(Micro()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    arguments = parser.parse_args(argv)
    if arguments.data is None and "SHIZUKU_DATA" not in os.environ:
        parser.error("give --data FILE, or set SHIZUKU_DATA to the data pack's folder")
    data = arguments.data or Path(os.environ["SHIZUKU_DATA"]) / PACK
    print(
        "| run | pairs | held out | tokens read | likelier a token, before | after | implicit reward, after "
        "| margin | KL, nats an answer | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    if arguments.model:
        found = adapted_run(arguments.model, data, arguments.out)
        print(row(arguments.model, found), flush=True)
        return [found]
    size = Micro(**{name: getattr(arguments, name) for name in asdict(Micro())})
    runs = []
    for seed in arguments.seeds:
        runs.append(micro_run(data, arguments.out / f"seed-{seed}", seed=seed, size=size))
        print(row(f"micro, seed {seed}", runs[-1]), flush=True)
    return runs


if __name__ == "__main__":
    main()
