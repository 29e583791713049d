"""The golden run: `python tests/training/golden.py` writes golden.json anew; test_loop.py compares."""

import json
import tempfile
from pathlib import Path

import torch
from training_parts import CONTEXT, corpus, model

from shizuku.data.packing import PackedBatches
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken

FILE = Path(__file__).with_name("golden.json")


def losses() -> list[float]:
    """The first 20 losses of a micro model on made-up text, with every default of the loop."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        _, shards = corpus(Path(place) / "shards")
        source = PackedBatches(shards, context=CONTEXT, batch_size=4, seed=0)
        config = LoopConfig(steps=20, log_every=1, save_minutes=None)
        result = train(model(), NextToken(z_loss=1e-4), source, config, out=Path(place) / "out")
    return [record["loss"] for record in result.history]


if __name__ == "__main__":
    FILE.write_text(json.dumps(losses(), indent=1) + "\n", encoding="utf-8")
