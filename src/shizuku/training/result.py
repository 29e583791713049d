"""What a training run came to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a finished run came to."""

    loss: float
    """Mean training loss (nats a unit) over the last tenth of the logged steps."""
    validation_loss: float | None
    """Loss on the validation batches of the weights that are kept; None without them."""
    tokens_seen: int
    """Tokens that went through the model, of all sittings and processes."""
    seconds: float
    """Time in training steps, of all sittings."""
    tokens_per_second: float
    """Over all steps."""
    flops: float
    """Operations of the model's matrix products (see cost.py)."""
    checkpoint: Path
    """Where the model is."""
    history: list[dict[str, Any]] = field(repr=False)
    """The records of metrics.jsonl."""
    kept_step: int | None = None
    """The step whose weights the checkpoint has: the last, or the best."""

    def to_json(self, tokens: int | None = None) -> dict[str, Any]:
        """What every verb's result says of its training; the speed is that of `tokens`, where given."""
        figures: dict[str, Any] = {
            "checkpoint": str(self.checkpoint),
            "seconds": self.seconds,
            "loss": self.loss,
            "validation_loss": self.validation_loss,
            "kept_step": self.kept_step,
        }
        if tokens is not None:
            figures |= {"tokens": tokens, "tokens_per_second": tokens / max(self.seconds, 1e-9)}
        return figures
