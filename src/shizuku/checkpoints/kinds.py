"""What a path holds, looked at before anything is opened: the errors here say what is missing."""

from pathlib import Path
from typing import Literal

from shizuku.checkpoints.huggingface import read_json
from shizuku.errors import CheckpointError

Kind = Literal["shizuku", "huggingface", "gguf", "adapter"]
EXPECTED = "expected a checkpoint directory (config.json and model.safetensors) or a .gguf file"
RUN_FILE = "run.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""What makes a directory an adapter's, in PEFT's format."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def kind_of(path: Path, *, weights: bool = True) -> Kind:
    """Whether `path` is a directory of ours, one of Hugging Face's, an adapter's, or a GGUF file.

    CheckpointError says what else it is, or what the directory lacks: config.json, or (with `weights`) them.
    """
    if is_adapter(path):
        if weights and not (path / ADAPTER_WEIGHTS).is_file():
            raise CheckpointError(f"{path} has an {ADAPTER_CONFIG}, but {_without_weights(path)}")
        return "adapter"
    if path.is_dir():
        _check_directory(path, weights=weights)
        ours = (path / RUN_FILE).is_file() and "files" in read_json(path / RUN_FILE)
        return "shizuku" if ours else "huggingface"
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; {EXPECTED}")
    if not path.is_file():
        raise CheckpointError(f"{path} is neither a file nor a directory; {EXPECTED}")
    _check_gguf(path)
    return "gguf"


def is_adapter(path: Path) -> bool:
    """Whether `path` is a directory with an adapter and no model of its own."""
    return (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file()


def _without_weights(path: Path) -> str:
    pickled = next((entry.name for entry in sorted(path.iterdir()) if entry.suffix in _PICKLES), None)
    if pickled is None:
        return f"its weights, {ADAPTER_WEIGHTS}, are missing"
    return (
        f"its weights are in {pickled}, a pickle, which can run code when it is opened and is refused: "
        "convert it with peft (from_pretrained, then save_pretrained)"
    )


def only_gguf(directory: Path) -> Path | None:
    """The GGUF file of a directory that holds one and no config.json; CheckpointError if it holds several."""
    if not directory.is_dir() or (directory / "config.json").exists():
        return None
    files = sorted(directory.glob("*.gguf"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise CheckpointError(f"{directory} holds several GGUF files ({names}): give the path of one of them")
    return files[0] if files else None


def _check_directory(path: Path, *, weights: bool) -> None:
    try:
        names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if not names:
        raise CheckpointError(f"{path} is an empty directory; {EXPECTED}")
    if "config.json" not in names:
        inside = [name for name in names if (path / name / "config.json").is_file()]
        hint = f"; there is one in {path / inside[0]}" if inside else f"; {EXPECTED}"
        seen = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise CheckpointError(f"{path} is no checkpoint: config.json is missing (it holds {seen}){hint}")
    if weights and not any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names):
        pickled = next((name for name in names if name.endswith(_PICKLES)), None)
        if pickled is None:
            raise CheckpointError(
                f"{path} has a config.json, but its weights, model.safetensors, are missing"
            )
        raise CheckpointError(
            f"{path} has its weights in {pickled}, a pickle, which can run code when it is opened and is "
            "refused: convert it with transformers (from_pretrained, then save_pretrained)"
        )


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if start == b"GGUF":
        return
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path} is a file of a checkpoint: give its directory, {path.parent}")
    if path.suffix in _PICKLES:
        raise CheckpointError(
            f"{path} is a pickle, which can run code when it is opened and is refused; {EXPECTED}"
        )
    if path.suffix == ".arpa" or start == b"\\dat":
        raise CheckpointError(
            f"{path} is an ARPA file, which shizuku.checkpoints.arpa.read_arpa reads; verbs take directories "
            "as shizuku train --architecture ngram makes them"
        )
    seen = "is empty" if not start else f"begins with {start!r}, not with b'GGUF'"
    raise CheckpointError(f"{path} is no GGUF file: it {seen}; {EXPECTED}")
