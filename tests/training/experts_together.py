"""What each of the processes does that test_expert_parallel.py starts with torchrun."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from training_parts import CONTEXT, decoder

from shizuku.data.packing import PackedBatches, ValidationBatches
from shizuku.data.shards import ShardSet
from shizuku.models.decoder import Decoder, initialise
from shizuku.training.batches import on_device
from shizuku.training.config import LoopConfig
from shizuku.training.distribution import job, place
from shizuku.training.expert_balance import with_balance
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.training.sharding import spread, whole, whole_weights
from shizuku.training.step import accumulate_gradients

CONFIG = LoopConfig(steps=5, log_every=1, evaluate_every=5, ema=0.9, save_every=3, save_minutes=None)
EXPERTS: dict[str, Any] = {
    "experts": 4, "experts_per_token": 2, "expert_width": 24, "shared_experts": 1, "router_bias": True,
    "router_bias_rate": 0.05, "balance_coefficient": 0.1, "router_z_coefficient": 0.01,
    "sparse_layers": (False, True), "normalise_experts": False,
}  # fmt: skip


def sparse_model() -> Decoder:
    """A model with experts whose router is sure of itself, so that some get few tokens."""
    made = Decoder(decoder(**EXPERTS))
    initialise(made, 1)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return made


def batches(shards: ShardSet) -> PackedBatches:
    """This process's rows."""
    rank, world = place()
    return PackedBatches(shards, context=CONTEXT, batch_size=4, seed=5, rank=rank, world=world)


def go(shards: ShardSet, out: Path, config: LoopConfig, stop_at: int | None = None) -> None:
    """A run of all processes; broken off after a step where asked."""
    validation = list(ValidationBatches(shards, context=CONTEXT, batch_size=8))[:3]

    def stop(record: Mapping[str, Any]) -> None:
        if record["step"] == stop_at:
            raise KeyboardInterrupt

    try:
        train(
            sparse_model(), NextToken(), batches(shards), config, out=out, validation=validation, on_log=stop
        )
    except KeyboardInterrupt:
        return


def gradients(shards: ShardSet, file: Path, parallel: Any) -> None:
    """Write the whole gradient of one step, and the gathered weights to check that nothing moved."""
    made = sparse_model()
    objective = with_balance(NextToken(), made)
    spread(made, parallel)
    made.train()
    found = accumulate_gradients(made, objective, [on_device(batches(shards).next(), torch.device("cpu"))])
    grads = {name: whole(p.grad) for name, p in made.named_parameters() if p.grad is not None}
    weights = whole_weights(made)
    if place()[0] == 0:
        means = torch.tensor([*found.means.values(), found.grad_norm])
        kept = {f"weights/{name}": tensor.contiguous() for name, tensor in weights.items()}
        save_file({**grads, **kept, "means": means}, file)
    elif parallel == "experts":
        save_file({name: grad for name, grad in grads.items() if ".experts." in name}, f"{file}.1")


def main(directory: Path) -> None:
    """All runs; `directory` has the shards."""
    torch.set_num_threads(1)
    shards = ShardSet.open(directory / "shards")
    for parallel in ("data", "fsdp", "experts"):
        gradients(shards, directory / f"gradients-{parallel}.safetensors", parallel)
    config = replace(CONFIG, parallel="experts")
    go(shards, directory / "experts", config)
    go(shards, directory / "resumed", config, stop_at=4)
    go(shards, directory / "resumed", replace(config, resume=True))
    go(shards, directory / "gone-on-alone", config, stop_at=4)


if __name__ == "__main__":
    with job():
        main(Path(sys.argv[1]))
