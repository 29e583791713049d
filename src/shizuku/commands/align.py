"""`shizuku align`: a model that answers as people prefer, from one that only answers."""

from shizuku.commands.resumable import resumable
from shizuku.tuning.align_config import AlignConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object]:
    """Align, or with `dry_run` say what that would take; the keys of the contract and a few more."""
    from shizuku.tuning.align import align, plan

    if config.dry_run:
        return plan(config)
    with resumable(f"align {config.model}", config.out):
        return align(config).to_json()


def show(result: dict[str, object]) -> None:
    """The plan of a dry run, or what aligning came to and what to do next."""
    for name, value in result.items():
        if name != "checkpoint" and not isinstance(value, dict):
            print(f"{name.replace('_', ' '):<28} {_text(value)}")
    if "checkpoint" in result:
        print(f"\n{result['checkpoint']}: talk to it with: shizuku chat {result['checkpoint']}")


def _text(value: object) -> str:
    if isinstance(value, list) and len(value) == 3:  # a mean and its interval
        mean, low, high = value
        return f"{mean:.3f} ({low:.3f} to {high:.3f})"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
