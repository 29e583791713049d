"""Which settings learn fastest in the first minutes: optimizer, rates, initialisation and shape, on the town.

    python recipes/first_minutes.py --megabytes 4 --steps 240 --seeds 0 1 2

Every variant sees the same tokens in the same order and differs from the base in the one thing it names;
prints the held-out loss (nats a token) of each seed and the mean, as docs/lab-notes.md has them.
"""

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from shizuku.data.packing import PackedBatches, ValidationBatches
from shizuku.data.shards import ShardSet, write_shards
from shizuku.data.town import town_documents
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.text.documents import Document
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig, OptimizerConfig
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken

BASE = OptimizerConfig()
VARIANTS = {
    "base": BASE,
    "Muon at 0.02": replace(BASE, muon_learning_rate=0.02),
    "Muon at 0.08": replace(BASE, muon_learning_rate=0.08),
    "embeddings at 0.003": replace(BASE, embedding_learning_rate=0.003),
    "embeddings at 0.03": replace(BASE, embedding_learning_rate=0.03),
    "AdamW alone at 0.003": replace(BASE, kind="adamw"),
    "AdamW alone at 0.01": replace(BASE, kind="adamw", learning_rate=0.01),
    "no zeroed outputs": BASE,
}


def corpus(folder: Path, megabytes: float, vocab_size: int) -> tuple[ShardSet, ShardSet]:
    """Shards of the town's training and held-out documents."""
    documents = list(town_documents(megabytes=megabytes, seed=0))
    tokenizer = Tokenizer.train((d.text for d in documents if d.split == "train"), vocab_size)
    parts: dict[bool, list[Document]] = {True: [], False: []}
    for d in documents:
        parts[d.split == "train"].append(Document(id=d.id, text=d.text, source=d.source))
    return (
        write_shards(parts[True], tokenizer, folder / "train"),
        write_shards(parts[False], tokenizer, folder / "heldout"),
    )


def heldout_loss(
    name: str, shards: tuple[ShardSet, ShardSet], steps: int, seed: int, shape: dict[str, int], out: Path
) -> float:
    """Train one variant and return its loss on the whole held-out text."""
    config = DecoderConfig(vocab_size=shards[0].vocab_size, context=128, qk_norm=True, **shape)
    model = Decoder(config)
    initialise(model, seed, zero_outputs=name != "no zeroed outputs")
    loop = LoopConfig(steps=steps, seed=seed, optimizer=VARIANTS[name], save_minutes=None)
    source = PackedBatches(shards[0], context=128, batch_size=16, seed=seed)
    validation = ValidationBatches(shards[1], context=128, batch_size=64)
    result = train(model, NextToken(), source, loop, out=out, validation=validation)
    assert result.validation_loss is not None
    return result.validation_loss


def main(arguments: list[str] | None = None) -> dict[str, list[float]]:
    """Run the variants and print a Markdown table; returns the losses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--vocab-size", type=int, default=2048)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    given = parser.parse_args(arguments)
    shape = {
        "layers": 3,
        "width": given.width,
        "heads": given.width // 32,
        "ffn_width": given.width * 11 // 4,
    }
    losses: dict[str, list[float]] = {}
    print("| variant | " + " | ".join(f"seed {seed}" for seed in given.seeds) + " | mean |")
    print("|---" * (len(given.seeds) + 2) + "|")
    with tempfile.TemporaryDirectory() as temporary:
        shards = corpus(Path(temporary), given.megabytes, given.vocab_size)
        for name in given.variants:
            losses[name] = [
                heldout_loss(name, shards, given.steps, seed, shape, Path(temporary) / f"{name}-{seed}")
                for seed in given.seeds
            ]
            cells = [f"{loss:.3f}" for loss in (*losses[name], statistics.mean(losses[name]))]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return losses


if __name__ == "__main__":
    main()
