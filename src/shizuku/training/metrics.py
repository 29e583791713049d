"""What a run records: one JSON line at a time, and TensorBoard events where they are asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shizuku.errors import MissingExtraError, TrainingError
from shizuku.training.cost import matmul_peak
from shizuku.training.resume import METRICS, Progress

EVENTS = "tensorboard"


class Metrics:
    """Appends records to `<out>/metrics.jsonl`; opened anew for each, as a checkpoint may replace the
    directory.
    """

    def __init__(self, out: Path, *, tensorboard: bool = False) -> None:
        self.path = out / METRICS
        self._events = _event_writer(out / EVENTS) if tensorboard else None

    def rewind(self, step: int) -> list[dict[str, Any]]:
        """Forget what a killed run recorded after its last checkpoint; returns the records that are kept."""
        if not self.path.is_file():
            return []
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                break  # a line cut short by the kill: it and all after it is done again
            if record["step"] <= step:
                kept.append(record)
        text = "".join(json.dumps(record) + "\n" for record in kept)
        self.path.write_text(text, encoding="utf-8")
        return kept

    def add(self, record: Mapping[str, Any]) -> None:
        """Record plain values under their names; `step` must be among them. TrainingError for a full disk."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(record)) + "\n")
        except OSError as error:
            raise TrainingError(
                f"{self.path}: cannot be written: {error.strerror}; the last checkpoint is whole: "
                "make room and go on with --resume"
            ) from error
        if self._events is not None:
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float):
                    self._events.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flush the TensorBoard events."""
        if self._events is not None:
            self._events.close()


def _event_writer(directory: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            "--loop.tensorboard needs TensorBoard: pip install 'shizuku[tensorboard]'"
        ) from error
    return SummaryWriter(str(directory))


class Meter:
    """Speed over the steps since the last look, for the log and the progress line."""

    def __init__(self, progress: Progress) -> None:
        self._logged = self._first = (progress.tokens, progress.seconds, progress.flops, progress.step)

    def speed(self, progress: Progress) -> dict[str, float]:
        """Tokens and operations a second since the last record."""
        tokens, seconds, flops, _ = self._logged
        self._logged = (progress.tokens, progress.seconds, progress.flops, progress.step)
        interval = max(progress.seconds - seconds, 1e-9)
        return {
            "tokens_per_second": (progress.tokens - tokens) / interval,
            "flops_per_second": (progress.flops - flops) / interval,
        }

    def note(self, loss: float, progress: Progress) -> str:
        """The words behind the progress bar: loss, speed, share of the machine's matrix-product peak, time
        left.
        """
        tokens, seconds, flops, step = self._first
        interval = max(progress.seconds - seconds, 1e-9)
        rate = (progress.flops - flops) / interval
        left = interval / max(progress.step - step, 1) * (progress.steps - progress.step)
        return (
            f"loss {loss:.3f}  {(progress.tokens - tokens) / interval:,.0f} tokens/s  "
            f"{rate / 1e9:.1f} GFLOP/s ({rate / matmul_peak():.0%} of peak)  "
            f"{left // 60:.0f}:{left % 60:02.0f} left"
        )
