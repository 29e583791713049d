"""What a path holds, looked at before anything is opened: the errors here say what is missing."""

from pathlib import Path
from typing import Literal

from shizuku.checkpoints.huggingface import read_json
from shizuku.checkpoints.run_record import RUN_FILE
from shizuku.errors import CheckpointError

Kind = Literal["shizuku", "huggingface", "gguf"]
EXPECTED = "expected a checkpoint directory (config.json and model.safetensors) or a .gguf file"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def kind_of(path: Path, *, weights: bool = True) -> Kind:
    """Whether `path` is a directory of ours, one of Hugging Face's, or a GGUF file.

    CheckpointError says what else it is, or what the directory lacks: config.json, or (with `weights`) them.
    """
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
    seen = "is empty" if not start else f"begins with {start!r}, not with b'GGUF'"
    raise CheckpointError(f"{path} is no GGUF file: it {seen}; {EXPECTED}")
