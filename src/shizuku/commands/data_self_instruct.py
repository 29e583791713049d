"""`shizuku data self-instruct`: a model writes the tasks that it is tuned on."""

from typing import Any

from shizuku.progress import say
from shizuku.tuning.self_instruct.settings import SelfInstructConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object]:
    """Make the tasks, or with `dry_run` say what would be made."""
    from shizuku.tuning.self_instruct.run import planned, self_instruct

    if config.dry_run:
        return planned(config)
    try:
        return self_instruct(config)
    except (KeyboardInterrupt, SystemExit):
        say(f"every answer is kept in {config.out}/; go on with: the same again with --resume")
        raise


def show(result: dict[str, Any]) -> None:
    """What was made, in a few lines, and what to do next."""
    if result.get("dry_run"):
        for name, value in result.items():
            print(f"{name.replace('_', ' '):<30} {value}")
        return
    print(
        f"{result['tasks']:,} tasks with {result['instances']:,} instances, {result['classification']:,} of "
        f"them classification, from {result['requests']:,} requests in {result['seconds']:,.0f} s"
    )
    if result["ended"] != "tasks":
        print(f"ended early, by --{result['ended']}")
    for what, name in (("instructions", "dropped"), ("instances", "dropped_instances")):
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in result[name].items() if count)
        print(f"{what} dropped: {reasons or 'none'}")
    print(f"most alike two kept: ROUGE-L {result['most_alike']:.3f}\nreport: {result['report']}")
    print(f"next: shizuku tune MODEL --data {result['chat']} --out tuned")
