"""Models that other tools have put on this disk: Ollama, LM Studio, llama.cpp, the Hugging Face cache."""

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shizuku.progress import warn_once

_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_OLLAMA_LIBRARY = ("registry.ollama.ai", "library")
_NOT_MODELS = re.compile(r"mmproj|-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
"""Picture encoders, and single shards of split files, which are no models by themselves."""


@dataclass(frozen=True, slots=True)
class Found:
    """A model of another tool; it is read where it is and never changed."""

    name: str
    """What it is called here: the tool, a colon, and the tool's own name for it."""
    path: Path
    """Its GGUF file, or its Hugging Face directory."""
    source: str
    """The tool."""
    bytes: int
    """What it takes on the disk."""


def find_models() -> list[Found]:
    """Every model of other tools on this machine, by name; unreadable manifests are named in a warning."""
    found = [*_ollama(), *_lm_studio(), *_llama_cpp(), *_hugging_face()]
    return sorted({model.name: model for model in reversed(found)}.values(), key=lambda model: model.name)


def find_model(name: str) -> Found | None:
    """The found model of that name; the tool and Ollama's `:latest` may be left out where one remains."""
    models = find_models()
    for wanted in (name, f"{name}:latest"):
        exact = [model for model in models if model.name == wanted]
        bare = [model for model in models if model.name.partition(":")[2] == wanted]
        if exact or len(bare) == 1:
            return (exact or bare)[0]
    return None


# ---- Ollama: a manifest names the blob that is the model


def _ollama() -> Iterator[Found]:
    places = [Path.home() / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")]
    if os.environ.get("OLLAMA_MODELS"):
        places = [Path(os.environ["OLLAMA_MODELS"]).expanduser()]
    for place in places:
        manifests = place / "manifests"
        for file in _files(manifests, "*/*/*/*"):
            host, space, name, tag = file.relative_to(manifests).parts
            prefix = "" if (host, space) == _OLLAMA_LIBRARY else f"{space}/"
            if host != _OLLAMA_LIBRARY[0]:
                prefix = f"{host}/{space}/"
            blob = _ollama_blob(file, place / "blobs")
            if blob is not None:
                yield Found(f"ollama:{prefix}{name}:{tag}", blob, "Ollama", blob.stat().st_size)


def _ollama_blob(manifest: Path, blobs: Path) -> Path | None:
    try:
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        digests = [str(layer["digest"]) for layer in layers if layer["mediaType"] == _OLLAMA_MODEL]
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn_once(f"{manifest} is no manifest of Ollama's ({error!r}), so its model is not listed")
        return None
    if len(digests) != 1 or not re.fullmatch(r"sha256:[0-9a-f]{64}", digests[0]):
        return None  # adapters and models in several files
    blob = blobs / digests[0].replace(":", "-")
    if not blob.is_file():
        warn_once(f"{manifest} names the blob {blob.name}, which is missing, so its model is not listed")
        return None
    return blob


# ---- LM Studio and llama.cpp: plain files


def _lm_studio() -> Iterator[Found]:
    pointer = Path.home() / ".lmstudio-home-pointer"
    homes = [Path.home() / ".lmstudio", Path.home() / ".cache" / "lm-studio"]
    if pointer.is_file():
        homes.insert(0, Path(pointer.read_text(encoding="utf-8").strip()))
    for home in homes:
        for file in _files(home / "models", "**/*.gguf"):
            name = file.relative_to(home / "models").with_suffix("").as_posix()
            yield Found(f"lmstudio:{name}", file, "LM Studio", file.stat().st_size)


def _llama_cpp() -> Iterator[Found]:
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    place = Path.home() / caches / "llama.cpp"
    if os.environ.get("XDG_CACHE_HOME"):
        place = Path(os.environ["XDG_CACHE_HOME"]) / "llama.cpp"
    if os.environ.get("LLAMA_CACHE"):
        place = Path(os.environ["LLAMA_CACHE"]).expanduser()
    for file in _files(place, "*.gguf"):
        yield Found(f"llama.cpp:{file.stem}", file, "llama.cpp", file.stat().st_size)


# ---- Hugging Face's cache: models--ORG--NAME/snapshots/COMMIT/, links into blobs/


def _hugging_face() -> Iterator[Found]:
    for folder in sorted(_folders(hugging_face_cache(), "models--*")):
        repository = folder.name.removeprefix("models--").replace("--", "/")
        snapshot = _snapshot(folder)
        if snapshot is None:
            continue
        weights = [file for file in snapshot.glob("*.safetensors") if file.exists()]
        if weights and (snapshot / "config.json").exists():
            size = sum(file.stat().st_size for file in weights)
            yield Found(f"hf:{repository}", snapshot, "Hugging Face cache", size)
        for file in _files(snapshot, "**/*.gguf"):
            name = f"hf:{repository}/{file.relative_to(snapshot).as_posix()}"
            yield Found(name, file, "Hugging Face cache", file.stat().st_size)


def hugging_face_cache() -> Path:
    """Where huggingface_hub keeps what it has fetched, by the environment variables that it reads."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    if os.environ.get("HF_HOME"):
        return Path(os.environ["HF_HOME"]).expanduser() / "hub"
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "huggingface" / "hub"


def _snapshot(folder: Path) -> Path | None:
    """The snapshot that `main` points to, else the newest."""
    main = folder / "refs" / "main"
    if main.is_file():
        snapshot = folder / "snapshots" / main.read_text(encoding="utf-8").strip()
        if snapshot.is_dir():
            return snapshot
    return max(_folders(folder / "snapshots", "*"), key=lambda path: path.stat().st_mtime, default=None)


def _files(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path for path in sorted(folder.glob(pattern)) if path.is_file() and not _NOT_MODELS.search(path.name)
    ]


def _folders(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.glob(pattern) if path.is_dir()] if folder.is_dir() else []
