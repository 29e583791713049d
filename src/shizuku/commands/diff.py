"""`shizuku diff`: what two runs did differently, and what came of it."""

from dataclasses import dataclass

import tyro

from shizuku.config import VerbConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """What differs between two runs: settings, data, code, and result."""

    first: tyro.conf.Positional[str]
    """A checkpoint that has a run record (run.json), or the folder of a run with --seeds."""
    second: tyro.conf.Positional[str]
    """The other one."""


def run(config: Config) -> dict[str, object]:
    """By section, each name that differs with its two values; and what the weights and losses say."""
    from shizuku.checkpoints.run_difference import compare_runs

    return compare_runs(config.first, config.second).to_dict()


def show(result: dict[str, object]) -> None:
    """One table a section; sections in which nothing differs are one line."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for section in ("config", "data", "code", "result"):
        rows = result[section]
        assert isinstance(rows, dict)
        if not rows:
            console.print(f"{section}: the same")
            continue
        table = Table(title=section, title_justify="left", title_style="bold")
        for heading in ("", str(result["first"]), str(result["second"])):
            table.add_column(heading, overflow="fold")
        for name, (left, right) in rows.items():
            table.add_row(name, _text(left), _text(right))
        console.print(table)
    console.print("weights: " + ("the same" if result["same_weights"] else "different"))
    step = result["losses_differ_at_step"]
    if step is not None:
        console.print(f"losses: first different at step {step:,}")


def _text(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
