"""What the reference says of every pair, worked out once and kept in the run's folder."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

from shizuku.progress import bar, say
from shizuku.tuning.dpo.objective import side_scores
from shizuku.tuning.pair_rows import HeldoutPairs, PairTable

FILE = Path("reference") / "logprobs.safetensors"
"""In a folder of its own: it is no part of the model, whose digest counts all safetensors beside it."""
AT_ONCE = 8
"""Pairs of a batch."""


@dataclass(frozen=True, slots=True)
class TableScores:
    """What a model says of both answers of every pair; columns are chosen and rejected answers."""

    logprobs_N2: np.ndarray
    """float32: log-probabilities of the whole answers, in nats."""
    tokens_N2: np.ndarray
    """float32: tokens of the answers."""


@torch.no_grad()
def table_scores(
    model: nn.Module, table: PairTable, *, numbers: Sequence[int] | None = None, batch_size: int = AT_ONCE,
    what: str = "reading pairs",
) -> TableScores:  # fmt: skip
    """Score the pairs of these `numbers`, or all, in evaluation mode, without gradients; others are NaN."""
    batches = HeldoutPairs(table, batch_size=batch_size, numbers=numbers)
    logprobs_N2, tokens_N2 = (np.full((len(table), 2), np.nan, dtype=np.float32) for _ in range(2))
    device, training = next(model.parameters()).device, model.training
    model.eval()
    try:
        with bar(what, len(batches), "batches") as line:
            for number, places in enumerate(batches.numbers(), start=1):
                scores = side_scores(model, table.batch(places).to(device))
                logprobs_N2[places] = scores.logprobs_P2.float().cpu().numpy()
                tokens_N2[places] = scores.tokens_P2.float().cpu().numpy()
                line.update(completed=number)
    finally:
        model.train(training)
    return TableScores(logprobs_N2, tokens_N2)


def reference_logprobs(
    tables: Mapping[str, PairTable],
    needed: Mapping[str, Sequence[int]],
    *,
    model_digest: str,
    reference: Callable[[], nn.Module],
    out: Path,
) -> dict[str, np.ndarray]:
    """The reference's log-probabilities [N, 2] of the `needed` pairs of each table; others may be NaN.

    What `out`'s file has is taken from there, where its digest, of the reference and of all tokens, is the
    one that is wanted; the reference is opened only for pairs that are missing.
    """
    wanted = hashlib.sha256(
        "\n".join([model_digest, *(f"{name} {table.digest}" for name, table in tables.items())]).encode()
    ).hexdigest()
    path = out / FILE
    found = _kept(path, wanted)
    if found is None or found.keys() != tables.keys():
        found = {name: np.full((len(table), 2), np.nan, np.float32) for name, table in tables.items()}
    missing = {
        name: [number for number in needed[name] if np.isnan(values_N2[number]).any()]
        for name, values_N2 in found.items()
    }
    if not any(missing.values()):
        say(f"the reference's log-probabilities are taken from {path}")
        return found
    model = reference()
    for name, numbers in missing.items():
        if numbers:
            scores = table_scores(model, tables[name], numbers=numbers, what=f"the reference reads {name}")
            found[name][numbers] = scores.logprobs_N2[numbers]
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that a run that is stopped leaves no half of it.
    made = path.with_name(f".{FILE.name}.tmp")
    save_file(found, made, metadata={"digest": wanted})
    made.replace(path)
    return found


def _kept(path: Path, wanted: str) -> dict[str, np.ndarray] | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("digest") != wanted:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError):
        return None
