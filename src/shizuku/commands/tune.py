"""`shizuku tune`: a model that answers, from one that continues."""

from shizuku.commands.resumable import resumable
from shizuku.tuning.config import TuneConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object] | None:
    """Tune, or with `dry_run` say what that would take; the keys of the contract and a few more.

    In a `torchrun` job process 0 has the result, the others None.
    """
    from shizuku.training.distribution import job, place

    with job():
        rank, _ = place()
        result = _run(config)
    return result if rank == 0 else None


def _run(config: Config) -> dict[str, object]:
    from shizuku.tuning.tune import plan, tune

    if config.dry_run:
        return plan(config)
    with resumable(f"tune {config.model}", config.out):
        return tune(config).to_json()


def show(result: dict[str, object]) -> None:
    """The plan of a dry run, or what the tuning came to and what to do next."""
    names = [name for name in result if name != "checkpoint"]
    for name in names:
        value = result[name]
        text = (
            f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else value
        )
        print(f"{name.replace('_', ' '):<28} {text}")
    if "checkpoint" in result and result["trained_parameters"] != result["parameters"]:
        print(f"\n{result['checkpoint']} is an adapter; with its base as one: shizuku merge")
    if "checkpoint" in result:
        print(f"\n{result['checkpoint']}: talk to it with: shizuku chat {result['checkpoint']}")
