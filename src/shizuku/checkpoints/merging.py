"""An adapter folded into a base, and how far the logits are from those of the two side by side.

Legend: `T` tokens, `V` vocabulary.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from shizuku.adapters.surgery import merge
from shizuku.checkpoints.adapters import load_adapted
from shizuku.checkpoints.bases import base_of, stated_base
from shizuku.checkpoints.directory import Checkpoint, checkpoint_digest
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.decoder import Decoder
from shizuku.quantization.surgery import dequantize

PROBE = 256
"""Tokens that logits are compared on: random ones, each row as long as fits."""


@dataclass(frozen=True, slots=True)
class LogitChange:
    """How far the merged model's logits are from those of the adapter beside the base it was trained on."""

    largest: float
    """Largest difference of a logit."""
    share: float
    """Deviation of the differences beside that of the logits."""
    divergence: float
    """Mean over the tokens of the divergence of the predictions, in nats."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A model with an adapter folded in."""

    checkpoint: Checkpoint
    """The model, all in floats, and what belongs to it."""
    base: Path
    """What the adapter was merged into."""
    own: bool | None
    """Whether that is the base it was trained on; None where its directory doesn't say."""
    change: LogitChange | None
    """What merging changed; None where the base that the adapter was trained on is not here."""


def merge_adapter(adapter: Path, *, base: Path | None = None, another_base: bool = False) -> Merged:
    """Open an adapter with its base, or with `base`, and fold it in; packed matrices become floats.

    Raises ConfigError for a `base` that the adapter was not trained on, unless `another_base` says that it
    may be one, and as `load_adapted`.
    """
    digest = stated_base(adapter).get("digest")
    own: bool | None = True
    if base is not None:
        own = None if digest is None else checkpoint_digest(base) == digest
        if own is False and not another_base:
            raise ConfigError(
                f"--base {base} is not the base that {adapter} was trained on, so the merged model would be "
                "another than the one that was tuned: leave --base out, or say --another-base and look at "
                "the logit change"
            )
    expected_TV = _logits_on_own_base(adapter) if own is False else None
    place = base or base_of(adapter)
    found = load_adapted(adapter, base=place, merged=False)
    if own is not False:
        expected_TV = probe_logits(found.model)
    merge(found.model)
    dequantize(found.model)
    change = None if expected_TV is None else logit_change(expected_TV, probe_logits(found.model))
    return Merged(replace(found, model=found.model.eval()), place, own, change)


def _logits_on_own_base(adapter: Path) -> Tensor | None:
    """What the tuned model says; None where the base that the adapter was trained on is not here any more."""
    try:
        base = base_of(adapter)
    except CheckpointError:
        return None
    return probe_logits(load_adapted(adapter, base=base, merged=False).model)


@torch.no_grad()
def probe_logits(model: Decoder) -> Tensor:
    """Logits [T, V] behind random tokens, the same ones for every model with that vocabulary and window."""
    config = model.config
    length = min(PROBE, config.context)
    draw = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(config.vocab_size, (PROBE // length, length), generator=draw)
    logits: Tensor = model.eval()(ids_BT)
    return logits.flatten(0, 1)


def logit_change(expected_TV: Tensor, found_TV: Tensor) -> LogitChange:
    """How far two models' logits behind the same tokens are from each other."""
    difference_TV = found_TV - expected_TV
    logp_TV, logq_TV = expected_TV.log_softmax(-1), found_TV.log_softmax(-1)
    divergence_T = (logp_TV.exp() * (logp_TV - logq_TV)).sum(-1)
    return LogitChange(
        largest=float(difference_TV.abs().max()),
        share=float(difference_TV.std() / expected_TV.std()),
        divergence=max(float(divergence_T.mean()), 0.0),
    )
