"""The seam between the server and what continues sequences: steps come back by callback, from any thread."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from shizuku.errors import ShizukuError
from shizuku.inference.requests import Finish, Request, Step

if TYPE_CHECKING:
    from shizuku.language_model import LanguageModel

OnStep = Callable[[Step | BaseException], None]
"""Gets each step of a sequence, the last one with `finish`; or the error that ended it, once."""


class FullError(ShizukuError):
    """There is no room for a further request just now."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a driver is doing at this moment, and what it has done."""

    running: int
    """Sequences that are being continued."""
    waiting: int
    """Sequences that wait for their turn."""
    blocks_used: int = 0
    """Cache blocks that hold something."""
    blocks: int = 0
    """Cache blocks that there are."""


class Handle(Protocol):
    """One sequence under way."""

    def cancel(self) -> None:
        """Make no further token of it; no step comes after this returns, but for one already on its way."""

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that did not have to be read again."""


class Driver(Protocol):
    """Continues sequences and looks into the model behind them."""

    @property
    def vocab_size(self) -> int:
        """Number of logits."""

    def submit(self, request: Request, on_step: OnStep) -> Handle:
        """Begin; FullError where there is no room, ModelError for a request that can't be."""

    def embed(self, sequences: Sequence[Sequence[int]]) -> np.ndarray:
        """Mean of the vectors behind the final norm over each sequence's tokens, float32 [B, D]."""

    def load(self) -> Load:
        """What is going on."""

    def size(self) -> dict[str, int]:
        """`parameters` and `bytes` of the model."""

    def close(self) -> None:
        """End everything that is under way."""


class _Job:
    def __init__(self, request: Request, on_step: OnStep) -> None:
        self.request, self.on_step = request, on_step
        self.cancelled = False
        self.cached_tokens = 0

    def cancel(self) -> None:
        self.cancelled = True


class OneByOne:
    """A driver that continues one sequence after the other, in a thread, with torch."""

    def __init__(self, lm: "LanguageModel", *, max_waiting: int) -> None:
        self._lm, self._max_waiting = lm, max_waiting
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._running = 0
        self._thread = threading.Thread(target=self._work, name="continue", daemon=True)
        self._thread.start()

    @property
    def vocab_size(self) -> int:
        return self._lm.model.config.vocab_size

    def submit(self, request: Request, on_step: OnStep) -> _Job:
        if self._jobs.qsize() >= self._max_waiting:
            raise FullError(f"{self._max_waiting} requests are waiting already")
        job = _Job(request, on_step)
        self._jobs.put(job)
        return job

    def embed(self, sequences: Sequence[Sequence[int]]) -> np.ndarray:
        import torch

        model = self._lm.model
        with torch.inference_mode():
            rows = [model.hidden(torch.tensor([list(ids)]))[0].float().mean(0) for ids in sequences]
            return np.asarray(torch.stack(rows).numpy())

    def load(self) -> Load:
        return Load(self._running, self._jobs.qsize())

    def size(self) -> dict[str, int]:
        parameters = list(self._lm.model.parameters())
        return {
            "parameters": sum(p.numel() for p in parameters),
            "bytes": sum(p.numel() * p.element_size() for p in parameters),
        }

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join(timeout=5)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._running = 1
            try:
                self._continue(job)
            except Exception as error:
                job.on_step(error)
            self._running = 0

    def _continue(self, job: _Job) -> None:
        from shizuku.inference.generation import generate

        request = job.request
        if request.prompt_logprobs:
            self._prompt_steps(job)
        steps = generate(
            self._lm.model,
            [request.ids],
            sampling=request.settings,
            max_new_tokens=request.settings.max_new_tokens or 0,
            stop_ids=request.stop_ids,
            processors=[_with_tensors(processor) for processor in request.processors],
            logprobs=request.logprobs,
            indices=[request.index],
        )
        for step in steps:
            if job.cancelled:
                steps.close()
                return
            job.on_step(Step(step.index, step.token_id, step.finish, step.logprob, step.top))

    def _prompt_steps(self, job: _Job) -> None:
        from shizuku.inference.generation import best_tokens

        ids, count = job.request.ids, job.request.logprobs or 0
        logprobs_TV = self._lm.logits(ids).double().log_softmax(-1)
        alone = job.request.settings.max_new_tokens == 0
        for place, token in enumerate(ids):
            last: Finish | None = "length" if alone and place == len(ids) - 1 else None
            if place == 0:
                job.on_step(Step(job.request.index, token, last, prompt=True))
                continue
            row_V = logprobs_TV[place - 1]
            top = best_tokens(row_V, count)
            job.on_step(Step(job.request.index, token, last, float(row_V[token]), top, prompt=True))


def _with_tensors(processor: Any) -> Any:
    def process(ids: Sequence[int], logits_V: Any) -> Any:
        import torch

        return torch.from_numpy(processor(ids, logits_V.numpy().copy()))

    return process
