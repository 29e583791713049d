"""The best weights of a run by validation loss, and when to stop looking for better ones."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from shizuku.checkpoints.trained import restore_trained, trained_tensors
from shizuku.errors import ConfigError
from shizuku.progress import warn_once
from shizuku.training.config import LoopConfig
from shizuku.training.resume import Progress

BEST = "best"
"""Folder of the best checkpoint so far, until the run ends and its place is the run's own."""


class Best:
    """Keeps the checkpoint with the lowest validation loss in `<out>/best/`, one folder a step."""

    def __init__(self, config: LoopConfig, out: Path, progress: Progress) -> None:
        self.config, self.out, self.progress = config, out, progress
        self._last: dict[str, Tensor] | None = None

    @property
    def done(self) -> bool:
        """Whether the run is at its end: all steps, or no better loss for too long."""
        return self.progress.step >= self.progress.steps or self.stopped

    @property
    def stopped(self) -> bool:
        """Whether validation losses have not fallen for as many evaluations as `patience` allows."""
        patience = self.config.patience
        return patience is not None and self.progress.best.get("waited", 0) >= patience

    @property
    def elsewhere(self) -> bool:
        """Whether the weights to keep are not those of the last step."""
        return bool(self.progress.best) and self.progress.best["step"] != self.progress.step

    @property
    def place(self) -> Path:
        """Where the best weights are while the run goes on."""
        return self.out / BEST / f"{self.progress.best['step']:07d}"

    def check(self, *, validation: bool) -> None:
        """ConfigError for a run that has nothing to tell the best by."""
        if self.config.keeps_best and not validation:
            raise ConfigError("--loop.patience and --loop.keep-best need validation data: hold some out")

    def judge(self, loss: float, write: Callable[[Path], None]) -> None:
        """Take note of a validation loss, and `write` the weights that it is that of if none was lower."""
        if not self.config.keeps_best:
            return
        best = self.progress.best
        if not math.isfinite(loss):
            warn_once(
                f"step {self.progress.step:,}: the validation loss is {loss}, so it is not the best one"
            )
        if best and not loss < best["loss"]:  # of a NaN neither is true
            best["waited"] += 1
            return
        if not math.isfinite(loss):
            return
        self.progress.best = {"loss": loss, "step": self.progress.step, "waited": 0}
        write(self.place)

    def take(self, model: nn.Module) -> None:
        """At the end: give `model` the best weights, and remember the last ones for the saved state."""
        if self.elsewhere:
            self._last = {name: tensor.clone() for name, tensor in trained_tensors(model).items()}
            restore_trained(self.place, model)

    def last_weights(self, model: nn.Module) -> dict[str, Tensor] | None:
        """The weights that training would go on from, where the model to be saved has others."""
        if self._last is None and self.config.save_dtype == "float32":
            return None
        return self._last or trained_tensors(model)

    def forget(self) -> None:
        """Once a state is saved: remove what a run that goes on from it does not need."""
        for folder in (self.out / BEST).glob("*"):
            if self.done or folder != self.place:
                shutil.rmtree(folder, ignore_errors=True)
        if (self.out / BEST).is_dir() and self.done:
            shutil.rmtree(self.out / BEST, ignore_errors=True)

    def figures(self) -> dict[str, Any]:
        """What the run record says of it."""
        if not self.progress.best:
            return {}
        best = self.progress.best
        return {
            "best": {"step": best["step"], "validation_loss": best["loss"]},
            "stopped_early": self.stopped,
        }
