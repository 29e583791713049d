"""How a directory of sentence-transformers' says that the vectors of a text's tokens become one."""

from pathlib import Path
from typing import Any, Literal

from shizuku.checkpoints.huggingface import read_json
from shizuku.checkpoints.run_record import json_text
from shizuku.errors import CheckpointError

Pooling = Literal["mean", "first"]
"""The mean over all tokens, or the first one's ([CLS])."""
_MODES: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}


_FOLDER = "1_Pooling"
_PARTS = (("", "Transformer"), (_FOLDER, "Pooling"), ("2_Normalize", "Normalize"))
"""Folders and modules of sentence-transformers', in the order in which a text goes through them."""


def declare_pooling(path: Path, pooling: Pooling, *, width: int, window: int) -> None:
    """Write what `declared_pooling` and sentence-transformers read into a checkpoint's directory, which need
    not be there yet: vectors of `width` numbers, of texts of `window` tokens at most, of length one.
    """
    (path / _FOLDER).mkdir(parents=True, exist_ok=True)
    modes = {name: pooling == mode for name, mode in _MODES.items()}
    modules = [
        {"idx": at, "name": str(at), "path": folder, "type": f"sentence_transformers.models.{name}"}
        for at, (folder, name) in enumerate(_PARTS)
    ]
    files: dict[str, Any] = {
        f"{_FOLDER}/config.json": {"word_embedding_dimension": width, **modes},
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": window, "do_lower_case": False},
    }
    for name, contents in files.items():
        (path / name).write_text(json_text(contents), encoding="utf-8")


def declared_pooling(path: Path | None) -> Pooling:
    """What a directory's 1_Pooling/config.json says, the mean where there is none; CheckpointError for a way
    that is not known here.
    """
    file = None if path is None else path / _FOLDER / "config.json"
    if file is None or not file.is_file():
        return "mean"
    said = read_json(file)
    chosen = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise CheckpointError(
            f"{file} says {', '.join(chosen) or 'nothing'}; known is one of {', '.join(_MODES)}"
        )
    return _MODES[chosen[0]]
