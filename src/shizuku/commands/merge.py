"""`shizuku merge`: fold an adapter into its base."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from shizuku.config import VerbConfig
from shizuku.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Fold an adapter into the weights it was trained on, dequantised where they are packed, and save both as
    one checkpoint; say how far its logits are from those of the two side by side.
    """

    adapter: tyro.conf.Positional[str]
    """Directory of an adapter, written by `shizuku tune --lora.rank` or by PEFT."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the merged checkpoint."""
    base: str | None = None
    """The base, by name or path, in place of the one that the adapter's directory names."""
    another_base: bool = False
    """Merge also into a base that the adapter was not trained on, such as the float model that its packed
    base was made of: the result is another model than the one that was tuned.
    """


def run(config: Config) -> dict[str, object]:
    """Merge, save, and return where it is, what it was merged into, and what that changed."""
    from dataclasses import asdict

    from shizuku.checkpoints.adapters import read_head
    from shizuku.checkpoints.directory import resolve, run_record, save_checkpoint
    from shizuku.checkpoints.kinds import is_adapter
    from shizuku.checkpoints.merging import merge_adapter
    from shizuku.progress import warn_once

    adapter = resolve(config.adapter)
    if not is_adapter(adapter):
        raise ConfigError(
            f"{adapter} is a model, not an adapter (adapter_config.json): nothing is to be merged"
        )
    if config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
        raise ConfigError(f"--out {config.out} is there already: give another place, or remove it first")
    if read_head(adapter) is not None:
        return _with_head(config, adapter)
    base = None if config.base is None else resolve(config.base)
    merged = merge_adapter(adapter, base=base, another_base=config.another_base)
    if merged.own is False:
        warn_once(f"{merged.base} is not the base that {adapter} was trained on: this is another model")
    elif merged.own is None:
        warn_once(f"{adapter} does not say which base it was trained on: {merged.base} is taken for it")
    found, change = merged.checkpoint, None if merged.change is None else asdict(merged.change)
    run = run_record(
        config={"base": str(merged.base), "own_base": merged.own},
        metrics={"logit_change": change},
        parent=adapter,
        parent_name=config.adapter,
    )
    save_checkpoint(
        config.out, model=found.model, tokenizer=found.tokenizer, run=run, generation=found.generation
    )
    return _result(config, merged.base, own=merged.own, change=change)


def _with_head(config: Config, adapter: Path) -> dict[str, object]:
    """A reward model or a classifier is merged into its own base alone."""
    from shizuku.checkpoints.bases import base_of
    from shizuku.checkpoints.directory import run_record
    from shizuku.checkpoints.headed import load_headed, save_headed
    from shizuku.quantization.surgery import dequantize

    if config.base is not None:
        raise ConfigError(
            f"--base: {adapter} has a head, which is merged with its own base only: leave it out"
        )
    found, base = load_headed(adapter), base_of(adapter)
    dequantize(found.model)
    run = run_record(config={"base": str(base)}, parent=adapter, parent_name=config.adapter)
    save_headed(config.out, model=found.model, tokenizer=found.tokenizer, run=run)
    return _result(config, base, own=True, change=None)


def _result(
    config: Config, base: Path, *, own: bool | None, change: dict[str, float] | None
) -> dict[str, object]:
    return {
        "checkpoint": str(config.out),
        "base": str(base),
        "own_base": own,
        "logit_change": change,
        "bytes": (config.out / "model.safetensors").stat().st_size,
    }


def show(result: dict[str, object]) -> None:
    """Where it is, and how far its logits have moved."""
    from shizuku.checkpoints.memory import readable

    size, change = result["bytes"], result["logit_change"]
    assert isinstance(size, int), "a number of bytes"
    print(f"merged into {result['base']}")
    if isinstance(change, dict):
        print(
            f"logit change: {change['largest']:.2g} at most, {change['share']:.2%} of the logits' deviation, "
            f"predictions {change['divergence']:.2g} nats a token apart"
        )
    elif result["own_base"] is False:
        print("logit change: not known, as the base that the adapter was trained on is not here")
    print(f"{result['checkpoint']}  {readable(size)}\nnext: shizuku chat {result['checkpoint']}")
