"""What aligning came to, whatever the method."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shizuku.training.result import TrainResult


@dataclass(slots=True)
class AlignResult:
    """The figures of `shizuku align`."""

    training: TrainResult
    """What the loop says."""
    reward_before: float | None
    """Mean held-out reward of the model that training began with."""
    reward_after: float | None
    """The same of the aligned model."""
    kl: float | None
    """Estimated distance to the reference, in nats an answer."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """More of the method's own, as JSON values."""

    def to_json(self) -> dict[str, Any]:
        """The keys of the contract and a few more."""
        return {
            **self.training.to_json(),
            "reward_before": self.reward_before,
            "reward_after": self.reward_after,
            "kl": self.kl,
            **self.figures,
        }
