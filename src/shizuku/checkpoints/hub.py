"""Hugging Face ids, through the `huggingface_hub` package (extra `hub`) where there is a network."""

import re
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

from shizuku.errors import FetchError, MissingExtraError

HUB_ID = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:/[\w./-]+\.gguf)?(?:@[\w./-]+)?"
"""`org/name`, with `/FILE.gguf` for one GGUF file of it, with `@REVISION` for a branch, tag or commit."""
PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.txt", "LICENSE*", "NOTICE*")
"""What is fetched of a repository: weights as safetensors, everything else as text, no pickles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubModel:
    """A model on the hub, looked up and not fetched yet."""

    repository: str
    """org/name."""
    commit: str
    """The exact commit, whatever the revision that was asked for points to later."""
    files: tuple[str, ...]
    """What is fetched."""
    bytes: int
    """The size of it all."""
    licence: str
    """The licence that the model's page states."""
    gguf: str | None
    """The one GGUF file that was asked for."""


def look_up(name: str) -> HubModel:
    """Ask the hub what a name holds.

    MissingExtraError without `huggingface_hub`; FetchError without a network, for an unknown or closed
    repository, and for one without safetensors.
    """
    hub = _hub()
    plain, _, revision = name.partition("@")
    repository, gguf = "/".join(plain.split("/")[:2]), "/".join(plain.split("/")[2:]) or None
    try:
        info = hub.HfApi().model_info(repository, revision=revision or None, files_metadata=True)
    except Exception as error:  # the hub's own errors and those of whatever network library it uses
        raise _unreachable(name, error) from error
    sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or ()}
    patterns = (gguf, "LICENSE*", "NOTICE*") if gguf else PATTERNS
    # Folders inside are other formats of the same weights.
    wanted = [f for f in sizes if f == gguf or ("/" not in f and any(fnmatch(f, p) for p in patterns))]
    if gguf is not None and gguf not in wanted:
        raise FetchError(f"{repository} has no file {gguf}{_has(sizes, '.gguf')}")
    if gguf is None and not any(f.endswith(".safetensors") for f in wanted):
        raise FetchError(
            f"{repository} has no safetensors{_has(sizes, '.gguf')}. Pickled weights can run code when they "
            "are opened and are not fetched"
        )
    return HubModel(
        repository=repository,
        commit=info.sha,
        files=tuple(wanted),
        bytes=sum(sizes[f] for f in wanted),
        licence=str(getattr(info.card_data, "license", None) or "not stated"),
        gguf=gguf,
    )


def fetch_from_hub(model: HubModel, folder: Path) -> dict[str, Any]:
    """Fetch the files into an empty folder and return what `model.json` says of them; else FetchError."""
    try:
        _hub().snapshot_download(
            model.repository, revision=model.commit, allow_patterns=list(model.files), local_dir=str(folder)
        )
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise  # the disk, not the network
        raise _unreachable(model.repository, error) from error
    except Exception as error:  # as in look_up
        raise _unreachable(model.repository, error) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    missing = [name for name in model.files if not (folder / name).is_file()]
    if missing:
        raise FetchError(f"{model.repository}: the download lacks {', '.join(missing[:5])}. Pull it again")
    return {
        "file": model.gguf,
        "what": f"{model.repository} from Hugging Face",
        "source": [f"hf:{model.repository}@{model.commit}"],
        "licence": model.licence,
        "licence_url": f"https://huggingface.co/{model.repository}",
        "files": {name: {"bytes": (folder / name).stat().st_size} for name in model.files},
    }


def _hub() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            "Hugging Face ids need the package huggingface_hub: pip install 'shizuku[hub]'"
        ) from error
    return huggingface_hub


def _has(sizes: dict[str, int], ending: str) -> str:
    files = [name for name in sizes if name.endswith(ending)]
    return f"; it has {', '.join(files[:5])}: name one of them as org/name/FILE.gguf" if files else ""


def _unreachable(name: str, error: Exception) -> FetchError:
    reason = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    return FetchError(
        f"{name} could not be fetched from Hugging Face: {reason[:300]}. Check the name, the network, and "
        "for closed models your token (hf auth login); or copy the model's directory here by other means "
        "and give its path instead of a name"
    )
