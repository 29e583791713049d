"""`shizuku list`: models on this machine, and those that can be pulled."""

from dataclasses import dataclass

from shizuku.config import VerbConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Models that are here, models that other tools have put on this disk, and names that can be pulled."""


def run(config: Config) -> dict[str, object]:
    """One entry a model: name, where it is from, path (None while it is not here), bytes, what it is."""
    from shizuku.checkpoints.catalogue import CATALOGUE
    from shizuku.checkpoints.found import find_models
    from shizuku.checkpoints.home import pulled_models

    pulled = pulled_models()
    here = {model.name for model in pulled}
    entries: list[dict[str, object]] = [
        {
            "name": model.name,
            "source": "pulled",
            "path": str(model.path),
            "bytes": model.bytes,
            "what": model.record.get("what"),
            "licence": model.record.get("licence"),
        }
        for model in pulled
    ]
    entries += [
        {
            "name": m.name,
            "source": m.source,
            "path": str(m.path),
            "bytes": m.bytes,
            "what": None,
            "licence": None,
        }
        for m in find_models()
    ]
    entries += [
        {
            "name": entry.name,
            "source": "can be pulled",
            "path": None,
            "bytes": entry.download_bytes,
            "what": entry.what,
            "licence": entry.licence,
        }
        for entry in CATALOGUE.values()
        if entry.name not in here
    ]
    return {"models": entries}


def show(result: dict[str, object]) -> None:
    """A table; names stand whole in the first column, as they are what one types."""
    from rich.console import Console
    from rich.table import Table

    from shizuku.checkpoints.memory import readable

    entries = result["models"]
    assert isinstance(entries, list)
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True, overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_column("what", overflow="fold")
    for entry in entries:
        what = ", ".join(filter(None, [entry["what"], entry["licence"]]))
        table.add_row(entry["name"], readable(entry["bytes"]), entry["source"], what or entry["path"])
    Console(highlight=False, markup=False).print(table)
