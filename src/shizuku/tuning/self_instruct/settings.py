"""The settings of self-instruct."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from shizuku.config import VerbConfig, check_seed, check_threads, to_dict
from shizuku.errors import ConfigError
from shizuku.tuning.self_instruct.generators import Form
from shizuku.tuning.self_instruct.prompts import Language

UNTOLD = ("seeds", "out", "tasks", "requests", "patience", "threads", "resume", "dry_run", "json")
"""Settings that change how far a run goes, or how it is run, but none of its steps; what the
seeds are is seen in the prompts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfInstructConfig(VerbConfig):
    """Let a model write tasks and their answers, from a few seed tasks, for `shizuku tune`."""

    model: tyro.conf.Positional[str]
    """Who writes them: a name, a checkpoint directory, a .gguf file, or the address of a server with OpenAI's
    API (http://127.0.0.1:8080/v1; a key is read from OPENAI_API_KEY)."""
    seeds: Path
    """JSONL of seed tasks: instruction, instances (input, output), is_classification."""
    out: Path
    """Folder for chat.jsonl (for `shizuku tune`), tasks.jsonl, dropped.jsonl, report.html and the journal."""
    tasks: int = 500
    """How many tasks to make."""
    requests: int | None = None
    """Most requests to the model, a task takes two and more; none: as many as it takes."""
    patience: int = 20
    """Stop after so many rounds in a row from which no task was kept."""
    language: Language = "en"
    """Language of the words around the seeds in the prompts; it should be that of the seeds."""
    form: Form = "completion"
    """`completion` has the model go on with a list of tasks, `chat` asks for it in a conversation."""
    human: int = 6
    """Seeds that a request for new instructions shows."""
    made: int = 2
    """Instructions made before that it shows, as far as there are any."""
    wanted: int = 8
    """New instructions that one request asks for."""
    likeness: float = 0.7
    """Least ROUGE-L to any seed or kept instruction at which a new one is dropped."""
    instances: int = 3
    """Most instances of one task."""
    shown: int = 6
    """Seeds that a request for a kind or for instances shows, as far as the window has room."""
    batch: int = 8
    """Requests that are made together."""
    temperature: float = 0.8
    """Of instructions and instances; whether a task is classification is asked with 0."""
    top_p: float = 0.95
    """Sample from the likeliest tokens that have this much probability together."""
    max_new_tokens: int = 256
    """Most tokens of one answer."""
    seed: int = 0
    """Of all draws: the same model, seeds and settings make the same tasks."""
    served_model: str | None = None
    """Name of the model at an address; none: the first that the server lists."""
    threads: int | None = None
    """Processor threads; none: all."""
    resume: bool = False
    """Go on with the run in --out; with more --tasks a finished one becomes longer."""
    dry_run: bool = False
    """Say what would be done, and check the settings and the seeds."""

    def __post_init__(self) -> None:
        """Check each setting, and those that must fit each other."""
        check_seed(self.seed)
        check_threads(self.threads)
        least = {"tasks": 1, "patience": 1, "human": 1, "made": 0, "wanted": 1, "instances": 1, "shown": 2}
        for name, low in {**least, "batch": 1, "max_new_tokens": 8}.items():
            if getattr(self, name) < low:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} {getattr(self, name)}: expected a whole number >= {low}")
        if self.requests is not None and self.requests < 1:
            raise ConfigError(f"--requests {self.requests}: expected a whole number >= 1")
        if not 0 < self.likeness <= 1:
            raise ConfigError(f"--likeness {self.likeness}: expected a number above 0, at most 1")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"--top-p {self.top_p}: expected a number above 0, at most 1")
        if self.temperature < 0:
            raise ConfigError(f"--temperature {self.temperature}: expected 0 or more")

    def told(self) -> dict[str, Any]:
        """The settings that every step follows from."""
        return {name: value for name, value in to_dict(self).items() if name not in UNTOLD}
