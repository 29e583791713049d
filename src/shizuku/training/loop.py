"""The one training loop: it decides when to step, log, evaluate and save; an objective decides what is
learned.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from shizuku.adapters.surgery import adapter_config, drops, is_adapted
from shizuku.checkpoints.directory import check_state
from shizuku.checkpoints.trained import restore_trained, save_trained
from shizuku.config import to_dict
from shizuku.data.packing import Batch
from shizuku.errors import ConfigError
from shizuku.models.accompanied import Accompanied
from shizuku.progress import bar, say
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.averaging import RunningAverage
from shizuku.training.batches import BatchSource, DeviceBatch, on_device, outline, told
from shizuku.training.best import Best
from shizuku.training.config import LoopConfig
from shizuku.training.cost import bill, model_cost
from shizuku.training.distribution import any_of_ranks, as_first_says, neighbours, place, wait_for_all
from shizuku.training.dropout import dropping, seed_draws
from shizuku.training.evaluation import evaluate
from shizuku.training.expert_balance import BalancedExperts, check_not_compiled, with_balance
from shizuku.training.memory import check_memory, estimate_memory
from shizuku.training.metrics import Meter, Metrics
from shizuku.training.objectives import Objective
from shizuku.training.optimizers import Optimizers
from shizuku.training.precision import DTYPES, LossScaler, check_precision
from shizuku.training.result import TrainResult
from shizuku.training.resume import (
    Progress,
    Saved,
    alone,
    check_place,
    check_same_run,
    check_same_start,
    has_state,
    read_state,
    read_tensors,
    take_weights,
    weights_as,
    write_state,
)
from shizuku.training.schedules import rate_factor
from shizuku.training.sharding import spread, whole_weights
from shizuku.training.signals import stop_on_signals
from shizuku.training.speed import planned_steps, replanned_steps
from shizuku.training.step import StepLoss, accumulate_gradients, check_finite_step, clip_gradients

KEPT_STEPS = "steps"
"""Folder of the checkpoints that are kept."""
EXACT = "exact_weight"
"""What float32 weights are called in a saved state that the checkpoint lacks: of a model that is saved in 16
bits, or of what is beside the model.
"""


def train(
    model: Any,
    objective: Objective,
    source: BatchSource,
    config: LoopConfig,
    *,
    out: str | Path,
    tokenizer: Tokenizer | None = None,
    validation: Iterable[Batch | DeviceBatch] | None = None,
    run: Mapping[str, Any] | None = None,
    on_log: Callable[[Mapping[str, Any]], None] | None = None,
) -> TrainResult:
    """Train `model` in place and leave a checkpoint, with all that is needed to go on, in `out`.

    In a `torchrun` job all processes call it, each with the source of its own rows (see PackedBatches);
    process 0 writes, and the model of the others may be on the meta device. With `parallel="fsdp"` the model
    is left sharded.
    With `config.ema`, what is evaluated, saved and left in `model` is the running average of the weights.
    `validation` is gone through anew at each evaluation; `run` is a `run_record` for run.json; `on_log` sees
    each record of metrics.jsonl. Ctrl-C and SIGTERM finish the step, save, and raise KeyboardInterrupt or
    SystemExit. Raises ConfigError for a run that is already there or was begun otherwise, TrainingError for
    one that does not fit into memory or whose loss stops being finite, CheckpointError for a disk that can't
    take it.
    """
    training = _Training(model, objective, source, config, Path(out))
    training.tokenizer, training.run, training.validation = tokenizer, dict(run or {}), validation
    with alone(training.out):
        return _go_through(training, on_log)


def _go_through(training: "_Training", on_log: Callable[[Mapping[str, Any]], None] | None) -> TrainResult:
    progress = training.start()
    saved = time.monotonic()
    with (
        dropping(training.model, training.config.dropout),
        stop_on_signals() as stop,
        bar("training", progress.steps, "steps") as line,
    ):
        line.update(completed=progress.step)
        while not training.best.done:
            loss = training.step()
            record = training.record(loss)
            last = training.best.done
            if record is not None and on_log is not None:
                on_log(record)
            line.update(
                completed=progress.step, total=progress.steps, note=training.meter.note(loss.loss, progress)
            )
            stopping, due = any_of_ranks(stop.asked, training.is_time_to_save(time.monotonic() - saved))
            stopping = stopping and not last
            if last:
                training.best.take(training.model)
            if last or stopping or due:
                training.save()
                saved = time.monotonic()
            if training.config.keep_log_spaced and (last or progress.step & (progress.step - 1) == 0):
                training.keep()
            if stopping:
                say(
                    f"saved {training.out} after step {progress.step:,} of {progress.steps:,}; "
                    "to go on: the same again with --resume"
                )
                stop.raise_again()
    return training.finish()


class _Training:
    """What a run consists of, and what can happen to it; `train` decides when."""

    tokenizer: Tokenizer | None = None
    validation: Iterable[Batch | DeviceBatch] | None = None

    def __init__(
        self, model: Any, objective: Objective, source: BatchSource, config: LoopConfig, out: Path
    ) -> None:
        objective = with_balance(objective, model)
        self.model, self.objective, self.source, self.config, self.out = model, objective, source, config, out
        self.run: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.rank, self.world = place()
        self.draws = config.dropout > 0 or (is_adapted(model) and drops(model))
        task = {
            "model": to_dict(model.config),
            "terms": {name: [term.coefficient, term.data] for name, term in objective.terms.items()},
        }
        if is_adapted(model):
            task["adapter"] = to_dict(adapter_config(model))
        # Through JSON, so that it compares equal with what a resumed run reads.
        self.progress = Progress(
            **json.loads(json.dumps({"config": to_dict(config), "task": task, "steps": 0}))
        )
        self.best = Best(config, out, self.progress)

    def start(self) -> Progress:
        """Begin the run, or take up the one in `out`; returns its progress."""
        config, progress = self.config, self.progress
        resuming = config.resume and has_state(self.out)
        self.best.check(validation=self.validation is not None)
        if is_adapted(self.model) and config.parallel == "fsdp":
            raise ConfigError(
                "--loop.parallel fsdp: an adapter is small, and is trained with --loop.parallel data"
            )
        check_place(self.out, resume=config.resume)
        if config.compile:
            check_not_compiled(self.model)
        if config.check_memory:
            self._check_memory()
        saved = self._found() if resuming else None
        if saved is None:
            torch.manual_seed(config.seed)
            progress.steps = planned_steps(self.model, self.objective, self.source, config)
        spread(self.model, config.parallel)
        self.device = next(self.model.parameters()).device
        if config.check_precision:
            check_precision(config.precision, self.device)
        self.scaler = LossScaler() if config.precision == "float16" else None
        self.optimizers = Optimizers(self.model, config.optimizer)
        self.average = None if config.ema is None else RunningAverage(self.model, config.ema)
        self.metrics = Metrics(self.out, tensorboard=config.tensorboard and self.rank == 0)
        if saved is not None:
            self._take_up(saved)
        elif self.rank == 0:
            self.metrics.rewind(0)
        if config.compile:
            for block in self.model.blocks:
                block.compile()
        self.model.train()
        self.meter = Meter(progress)
        return progress

    def step(self) -> StepLoss:
        """Take one optimizer step."""
        config, progress = self.config, self.progress
        progress.steps = replanned_steps(config, progress)
        start = time.perf_counter()
        batches = [on_device(self.source.next(), self.device) for _ in range(config.accumulate)]
        if self.draws:
            seed_draws(config.seed, progress.step, self.rank)
        loss = accumulate_gradients(
            self.model,
            self.objective,
            batches,
            precision=config.precision,
            scale=1.0 if self.scaler is None else self.scaler.scale,
        )
        self.rate = rate_factor(config.schedule, progress.step, progress.steps)
        moving = not self._overflowed(loss)
        if moving:
            check_finite_step(loss, progress.step + 1, batches, self.out, advice=self._advice())
            clip_gradients(self.model, loss.grad_norm, config.clip)
            self.optimizers.set_rates(self.rate)
            self.optimizers.step()
            if isinstance(self.objective, BalancedExperts):
                self.objective.moved()
        self.optimizers.zero_grad()
        progress.step += 1
        if self.average is not None and moving:
            self.average.update(progress.step)
        progress.seconds += time.perf_counter() - start
        for batch in batches:
            rows, length = batch.shape
            tokens = rows * length * self.world
            progress.tokens += tokens
            progress.flops += model_cost(self.model, length).training * tokens
        return loss

    def _overflowed(self, loss: StepLoss) -> bool:
        """Whether the step's gradient overflowed float16 in a way that a smaller scale may mend."""
        # Losses and gradient are sums over all processes, so all decide alike.
        if self.scaler is None or not self.scaler.overflowed(sum(loss.means.values()), loss.grad_norm):
            return False
        say(
            f"step {self.progress.step + 1:,}: the gradient overflowed {self.config.precision} and the step "
            f"was left out; loss scale now {self.scaler.scale:,.0f}"
        )
        return True

    def _advice(self) -> str:
        precision = self.config.precision
        if precision == "float32":
            return ""
        scale = "" if self.scaler is None else f"; the loss scale was {self.scaler.scale:,.0f}"
        return f". If --loop.precision float32 does not stop here, {precision} is at fault{scale}"

    def record(self, loss: StepLoss) -> dict[str, Any] | None:
        """Evaluate if it is time to, and log if it is time to; returns what was logged."""
        config, step = self.config, self.progress.step
        last = step == self.progress.steps
        evaluating = self.validation is not None and (
            last or (config.evaluate_every is not None and step % config.evaluate_every == 0)
        )
        if not (evaluating or last or step == 1 or step % config.log_every == 0):
            return None
        record = {
            "step": step,
            "tokens": self.progress.tokens,
            "seconds": self.progress.seconds,
            "loss": loss.loss,
            **({f"term/{name}": mean for name, mean in loss.means.items()} if len(loss.means) > 1 else {}),
            # A step that was left out has no norm to speak of.
            **({"grad_norm": loss.grad_norm} if math.isfinite(loss.grad_norm) else {}),
            "rate": self.rate,
            **self._scaling(),
            **self.meter.speed(self.progress),
            **told(self.source, self.objective),
        }
        if evaluating and self.validation is not None:
            with self._averaged():
                means = evaluate(self.model, self.objective, self.validation, self.device)
            record["validation_loss"] = means.pop("loss")
            if len(means) > 1:
                record |= {f"validation/{name}": mean for name, mean in means.items()}
            self.best.judge(record["validation_loss"], lambda place: self._write(place, None))
        self.history.append(record)
        if self.rank == 0:
            self.metrics.add(record)
        return record

    def _scaling(self) -> dict[str, float]:
        if self.scaler is None:
            return {}
        return {"loss_scale": self.scaler.scale, "skipped_steps": self.scaler.skipped}

    def is_time_to_save(self, since: float) -> bool:
        """Whether a checkpoint is due, `since` seconds after the last."""
        config, step = self.config, self.progress.step
        by_steps = config.save_every is not None and step % config.save_every == 0
        return by_steps or (config.save_minutes is not None and since >= 60 * config.save_minutes)

    def save(self) -> None:
        """Write the checkpoint with everything that the run needs to go on."""
        tensors = self.optimizers.tensors()
        if self.scaler is not None:
            self.progress.scaler = self.scaler.state_dict()
        with self._averaged():
            if self.average is not None:
                tensors |= self.average.raw()
            exact = self.best.last_weights(self.model)
            if exact is not None:
                tensors |= weights_as(EXACT, exact)
            elif isinstance(self.model, Accompanied):
                tensors |= weights_as(EXACT, self.model.beside())
            self._write(
                self.out, lambda made: write_state(made, self.progress, self.source.state_dict(), tensors)
            )
        if self.rank == 0:
            self.best.forget()

    def keep(self) -> None:
        """Keep a checkpoint of this step, for looking at later."""
        with self._averaged():
            self._write(self.out / KEPT_STEPS / f"{self.progress.step:07d}", None)

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.in_place()

    def _write(self, place: Path, extra: Callable[[Path | None], None] | None) -> None:
        weights = whole_weights(self.model)
        if self.rank == 0:
            run = {**self.run, "metrics": {**self.run.get("metrics", {}), **self._metrics()}}
            run["training"] = {
                **self.progress.config, "terms": self.progress.task["terms"], "processes": self.world,
            }  # fmt: skip
            save_trained(
                place, model=self.model, weights=weights, tokenizer=self.tokenizer, run=run, extra=extra,
                dtype=DTYPES[self.config.save_dtype],
            )  # fmt: skip
        elif extra is not None:
            extra(None)
        wait_for_all()

    def _metrics(self) -> dict[str, Any]:
        progress, config = self.progress, self.config
        cost = bill(
            progress.seconds, progress.flops, watts=config.watts, price_per_hour=config.price_per_hour
        )
        figures: dict[str, Any] = {
            "step": progress.step,
            "steps": progress.steps,
            "tokens_seen": progress.tokens,
            **self._scaling(),
        }
        if self.history:
            figures["loss"] = self._loss()
            figures["validation_loss"] = self._validation_loss()
            figures |= self.best.figures()
        return {**figures, "cost": cost.to_dict()}

    def _loss(self) -> float:
        tail = self.history[-max(1, len(self.history) // 10) :]
        return sum(record["loss"] for record in tail) / len(tail)

    def _validation_loss(self) -> float | None:
        if self.progress.best:
            return float(self.progress.best["loss"])
        losses = [record["validation_loss"] for record in self.history if "validation_loss" in record]
        return losses[-1] if losses else None

    def finish(self) -> TrainResult:
        """Close the log, leave the model as it was saved, and say what the run came to."""
        self.metrics.close()
        if self.average is not None:
            self.average.leave_in_place()
        if self.best.elsewhere:
            restore_trained(self.out, self.model)
        progress = self.progress
        return TrainResult(
            loss=self._loss(),
            validation_loss=self._validation_loss(),
            tokens_seen=progress.tokens,
            seconds=progress.seconds,
            tokens_per_second=progress.tokens / max(progress.seconds, 1e-9),
            flops=progress.flops,
            checkpoint=self.out,
            history=self.history,
            kept_step=progress.best.get("step", progress.step),
        )

    def _check_memory(self) -> None:
        shape, packed = outline(self.source)
        shards = self.world if self.config.parallel == "fsdp" else 1
        estimate = estimate_memory(self.model, self.config, *shape, packed=packed, shards=shards)
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            check_memory(estimate, neighbours())
        wait_for_all()  # nobody takes memory before all machines have looked

    def _found(self) -> Saved:
        """What the run in `out` was, its weights in the model of process 0."""
        if self.rank == 0:
            check_state(self.out)
        saved = read_state(self.out)
        asked = self.config.steps if self.config.max_seconds is None else None
        self.progress.steps = asked or saved.progress.steps
        check_same_run(saved.progress, self.progress, self.config)
        check_same_start(self.out, self.run)
        if self.rank == 0:
            restore_trained(self.out, self.model)
            self.progress.best, self.progress.step = saved.progress.best, saved.progress.step
            if self.best.elsewhere and not self.best.done and not self.best.place.is_dir():
                # A finished run that goes on: its own place held the best weights, and soon will not.
                save_trained(self.best.place, model=self.model)
        return saved

    def _take_up(self, saved: Saved) -> None:
        if self.scaler is not None:
            self.scaler = LossScaler(**saved.progress.scaler)
        tensors = read_tensors(self.out, self.model)
        tensors = take_weights(EXACT, tensors, self.model.state_dict(), needed=False)
        if self.average is not None:
            tensors = self.average.take_up(tensors)
        self.optimizers.load_tensors(tensors)
        self.source.load_state_dict(saved.source)
        for name in ("step", "tokens", "seconds", "flops", "scaler", "best"):
            setattr(self.progress, name, getattr(saved.progress, name))
        saved.restore_random()
        if self.rank == 0:
            self.history = self.metrics.rewind(self.progress.step)
        self.history = as_first_says(self.history)
        say(f"going on in {self.out} after step {self.progress.step:,} of {self.progress.steps:,}")
