"""`shizuku bench`: how fast a model reads and writes on this machine."""

import os
from dataclasses import dataclass

from shizuku.commands.generation_flags import ModelFlags
from shizuku.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(ModelFlags):
    """How fast a model reads a prompt and makes tokens here, counted as llama-bench counts: one sequence of
    random tokens, each round from an empty cache.
    """

    prompt_tokens: int | None = None
    """Tokens of the prompt that is read in one piece; none: 512, or the context length if that is less."""
    new_tokens: int | None = None
    """Tokens that are made one by one; none: 128, or the context length if that is less."""
    rounds: int = 5
    """Rounds to take the medians of."""

    def __post_init__(self) -> None:
        """Check the numbers; whether they fit the context is known once the model is."""
        for flag in ("prompt_tokens", "new_tokens", "rounds"):
            given = getattr(self, flag)
            if given is not None and given < 1:
                raise ConfigError(f"--{flag.replace('_', '-')} {given}: expected 1 or more")


def run(config: Config) -> dict[str, object]:
    """Medians in tokens/s, the share of the memory's bandwidth that decoding reaches, and the memory."""
    import psutil

    from shizuku.inference.speed import measure, median
    from shizuku.progress import track

    config.chosen()
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    runtime = config.load().runtime
    prompt = min(512, runtime.context) if config.prompt_tokens is None else config.prompt_tokens
    made = min(128, runtime.context) if config.new_tokens is None else config.new_tokens
    speeds = measure(runtime, prompt=prompt, made=made, rounds=config.rounds)
    rounds = list(track(speeds, "measuring", config.rounds))
    found = median(rounds)
    taken = process.memory_info().rss - before
    return {
        "model": config.chosen(),
        "runtime": type(runtime).__name__,
        "instruction_set": getattr(runtime, "instruction_set", None),
        "threads": getattr(runtime, "threads", None),
        f"pp{prompt}": round(found.prefill, 2),
        f"tg{made}": round(found.decode, 2),
        **_bandwidth(runtime, found.decode),
        "weight_bytes": getattr(runtime, "weight_bytes", None),
        "cache_bytes": runtime.blocks * runtime.block_bytes,
        "memory_bytes": taken,
    }


def _bandwidth(runtime: object, decode: float) -> dict[str, object]:
    """What decoding reads a second, beside what so many threads can read; nothing where torch computes."""
    from shizuku.inference.native import NativeRuntime

    if not isinstance(runtime, NativeRuntime):
        return {"bandwidth": None, "bandwidth_share": None}
    from shizuku.quantization.native.library import read_bandwidth

    bandwidth = max(read_bandwidth(runtime.threads) for _ in range(3))  # other work only ever slows it
    return {
        "bandwidth": round(bandwidth),
        "bandwidth_share": round(runtime.read_bytes * decode / bandwidth, 3),
    }


def show(result: dict[str, object]) -> None:
    """A small table."""
    from rich.console import Console
    from rich.table import Table

    from shizuku.checkpoints.memory import readable

    table = Table("what", "figure", title=str(result["model"]))
    for name, value in result.items():
        if name == "model" or value is None:
            continue
        if name.startswith(("pp", "tg")):
            value = f"{value} tokens/s"
        elif name == "bandwidth_share":
            value = f"{float(str(value)):.0%}"
        elif name == "bandwidth":
            value = f"{int(str(value)) / 1e9:.1f} GB/s"
        elif name.endswith("_bytes"):
            value = readable(int(str(value)))
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)
