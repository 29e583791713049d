"""Settings of direct preference optimisation; nothing here needs torch."""

from dataclasses import dataclass
from typing import Literal

from shizuku.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class DpoConfig:
    """What the loss of a preference pair is."""

    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """sigmoid: -log sigmoid(beta h), the DPO loss (Rafailov et al. 2023). ipo: (h - 1 / (2 beta))² (Azar et
    al. 2023), which has a finite optimum. h: by how much the model, more than the reference, prefers the
    chosen answer, in nats.
    """
    beta: float = 0.1
    """How strongly the model is held to the reference: higher is closer."""
    label_smoothing: float = 0.0
    """Share of the pairs that are taken to be labelled the wrong way round (conservative DPO, Mitchell 2023);
    sigmoid only.
    """
    per: Literal["auto", "answer", "token"] = "auto"
    """Whether h is of log-probabilities of whole answers, or of their means a token; auto: a token for ipo,
    as TRL and the paper's authors have it, whole answers for sigmoid.
    """
    reference: Literal["once", "each"] = "once"
    """When the reference's log-probabilities are worked out: once before training and kept in the run's
    folder, or in each step with the adapter switched off.
    """

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ConfigError(f"--dpo.beta {self.beta}: expected more than 0")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(
                f"--dpo.label-smoothing {self.label_smoothing}: expected 0 <= share < 0.5: from one half "
                "on the labels would say nothing, or the opposite"
            )
        if self.label_smoothing and self.loss != "sigmoid":
            raise ConfigError(
                "--dpo.label-smoothing is of the sigmoid loss: leave it out with --dpo.loss ipo"
            )

    @property
    def averaged(self) -> bool:
        """Whether log-probabilities are averaged over an answer's tokens."""
        return self.per == "token" or (self.per == "auto" and self.loss == "ipo")
