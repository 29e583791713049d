"""What judges answers: a Python callable of any of the usual shapes, by itself or as MODULE:FUNCTION.

def reward(prompts, completions): return [score, …]          # a batch at once
def reward(prompt, completion): return score                 # one at a time
def reward(prompts, completions, records): …                 # with the data's rows (record: one at a time)
"""

import importlib
import importlib.util
import inspect
import math
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float64

from shizuku.errors import ConfigError, ShizukuError, TrainingError

SHOWN = 200
"""Characters of a prompt and a completion that a message shows."""
_MANY = {"prompts", "completions", "answers", "responses", "texts", "outputs", "queries"}
_ONE = {"prompt", "completion", "answer", "response", "text", "output", "query"}
_RECORDS = {"records", "record"}


Asked = str | Sequence[Mapping[str, Any]]
"""A prompt as a reward reads it: the user's words, or turns (role, content) where there are several."""


class Reward(Protocol):
    """What judges answers."""

    name: str

    def __call__(
        self,
        prompts: Sequence[Asked],
        completions: Sequence[str],
        records: Sequence[Mapping[str, Any]],
    ) -> Float64[np.ndarray, "B"]:
        """A finite score for each completion."""
        ...


RewardLike = Reward | Callable[..., Any]
"""What Python may give as a reward: a reward model's scorer, or any function of one of the shapes above."""


class CallableReward:
    """A Python callable as a reward: its shape is found out, its time limited, its results checked."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        seconds: float | None = 60.0,
        flag: str = "--ppo.reward-seconds",
    ) -> None:
        """Take any callable; `seconds` (None: no limit) may pass for one call of this object."""
        if not callable(function):
            raise ConfigError(f"--reward: expected a function, found {type(function).__name__}")
        self.function, self.seconds, self.flag = function, seconds, flag
        self.name = name or str(getattr(function, "__qualname__", type(function).__name__))
        self.with_records, self.at_once = _shape(function, self.name)
        """Whether it takes rows of the data, and whether it takes all answers at once (None: not known)."""

    def __call__(
        self,
        prompts: Sequence[Asked],
        completions: Sequence[str],
        records: Sequence[Mapping[str, Any]] = (),
    ) -> Float64[np.ndarray, "B"]:
        """A finite score for each completion; TrainingError names the answer that has none."""
        rows = list(records) or [{} for _ in prompts]
        args = (
            (list(prompts), list(completions), rows)
            if self.with_records
            else (list(prompts), list(completions))
        )
        work = _Work(self, args)
        if not work.wait(self.seconds):
            at = min(work.at, len(prompts) - 1)
            raise TrainingError(
                f"--reward {self.name} took longer than {self.seconds:g} s over {len(prompts)} answers; it "
                f"was at {_shown(prompts[at], completions[at])}. Make it faster, or raise {self.flag}"
            )
        return self._checked(work.result(), prompts, completions)

    def _compute(self, args: tuple[list[Any], ...], work: "_Work") -> Any:
        if self.at_once is not False:
            try:
                found = self.function(*args)
            except (Exception, SystemExit) as error:
                if self.at_once or isinstance(error, ShizukuError):
                    raise _raised(self.name, error, args[0][0], args[1][0], len(args[0])) from error
                found = None
            if self.at_once or _is_list(found):
                self.at_once = True
                return found
        scores = []
        for work.at, one in enumerate(zip(*args, strict=True)):
            try:
                scores.append(self.function(*one))
            except (Exception, SystemExit) as error:
                raise _raised(self.name, error, one[0], one[1], 1) from error
        self.at_once = False
        return scores

    def _checked(
        self, found: Any, prompts: Sequence[Asked], completions: Sequence[str]
    ) -> Float64[np.ndarray, "B"]:
        scores = found.tolist() if hasattr(found, "tolist") else found
        if not isinstance(scores, list | tuple):
            raise TrainingError(
                f"--reward {self.name}: expected a list of {len(prompts)} numbers, got "
                f"{type(found).__name__} {_cut(repr(found))}"
            )
        if len(scores) != len(prompts):
            raise TrainingError(
                f"--reward {self.name}: expected {len(prompts)} numbers, one for each completion, got "
                f"{len(scores)}; the first answer was {_shown(prompts[0], completions[0])}"
            )
        checked = np.empty(len(scores))
        for at, score in enumerate(scores):
            try:
                checked[at] = float(score)
            except (TypeError, ValueError) as error:
                raise TrainingError(
                    f"--reward {self.name}: expected a number, got {type(score).__name__} "
                    f"{_cut(repr(score))}, for {_shown(prompts[at], completions[at])}"
                ) from error
            if not math.isfinite(checked[at]):
                raise TrainingError(
                    f"--reward {self.name}: expected a finite number, got {checked[at]}, for "
                    f"{_shown(prompts[at], completions[at])}"
                )
        return checked


class _Work:
    """A call in a thread of its own, which nobody waits for once its time is over."""

    def __init__(self, reward: CallableReward, args: tuple[list[Any], ...]) -> None:
        self.at = 0
        self._found: Any = None
        self._error: BaseException | None = None

        def run() -> None:
            try:
                self._found = reward._compute(args, self)
            except BaseException as error:
                self._error = error

        # A daemon: a reward that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=run, name="shizuku-reward", daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._found


class ModelReward:
    """A reward model, or anything else that is called with prompts and completions, with its numbers checked.

    It is computed here and now: what is ours needs no time limit.
    """

    def __init__(self, scorer: Callable[[Sequence[Any], Sequence[str]], Sequence[float]], name: str) -> None:
        self.scorer, self.name = scorer, name

    def __call__(
        self,
        prompts: Sequence[Asked],
        completions: Sequence[str],
        records: Sequence[Mapping[str, Any]] = (),
    ) -> Float64[np.ndarray, "B"]:
        """A finite score for each completion; TrainingError names the answer that has none."""
        scores = np.asarray(self.scorer(prompts, completions), dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            at = int(bad[0])
            raise TrainingError(
                f"--reward {self.name}: gave {scores[at]} for {_shown(prompts[at], completions[at])}"
            )
        return scores


def open_callable(where: str, **how: Any) -> CallableReward:
    """The function that MODULE:FUNCTION names; MODULE is importable from here, or the path of a .py file.

    ConfigError names what is not there.
    """
    module_name, _, function_name = where.rpartition(":")
    if not module_name or not function_name:
        raise ConfigError(f"--reward {where}: expected MODULE:FUNCTION, or a reward model")
    module = _module(where, module_name)
    found: Any = module
    for part in function_name.split("."):
        if not hasattr(found, part):
            there = ", ".join(
                n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))
            )
            raise ConfigError(
                f"--reward {where}: {module_name} has no {function_name} (there: {there or 'none'})"
            )
        found = getattr(found, part)
    return CallableReward(found, name=where, **how)


def is_callable_name(where: str) -> bool:
    """Whether a --reward names a function and not a model."""
    return ":" in where and not Path(where).exists()


def _module(where: str, name: str) -> Any:
    path = Path(name)
    if path.suffix == ".py":
        if not path.is_file():
            raise ConfigError(f"--reward {where}: there is no file {path}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None, "a .py file has a loader"
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        load = partial(_executed, spec.loader, module)
    else:
        load = partial(importlib.import_module, name)
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return load()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--reward {where}: no module {error.name}; looked for in {here} and among what is installed"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"--reward {where}: importing it failed: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(here)


def _executed(loader: Any, module: Any) -> Any:
    loader.exec_module(module)
    return module


def _shape(function: Callable[..., Any], name: str) -> tuple[bool, bool | None]:
    """Whether it takes records, and whether all answers at once; None where only a call can tell."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False, None  # some built-in functions have none
    named = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in named if p.default is p.empty]
    spread = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    forced = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if forced or len(needed) > 3 or (len(named) < 2 and not spread):
        raise ConfigError(
            f"--reward {name}: expected (prompts, completions), (prompt, completion) or a third parameter "
            f"for the data's rows, found ({', '.join(p.name for p in parameters)})"
        )
    with_records = len(needed) == 3 or (len(named) > 2 and named[2].name in _RECORDS)
    for parameter in named[:2]:
        kind = str(parameter.annotation).lower()
        if parameter.name in _MANY or "list" in kind or "sequence" in kind:
            return with_records, True
        if parameter.name in _ONE or parameter.annotation in (str, "str"):
            return with_records, False
    return with_records, None


def _is_list(found: Any) -> bool:
    return isinstance(found, list | tuple) or getattr(found, "ndim", 0) == 1


def _raised(name: str, error: BaseException, prompt: Asked, completion: str, answers: int) -> TrainingError:
    first = f"; the first of the {answers} answers was" if answers > 1 else " for"
    return TrainingError(
        f"--reward {name} raised {type(error).__name__}: {error}{first} {_shown(prompt, completion)}"
    )


def _shown(prompt: Asked, completion: str) -> str:
    return f"prompt {_cut(repr(prompt))}, completion {_cut(repr(completion))}"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
