"""How a directory of sentence-transformers' says that the vectors of a text's tokens become one."""

from pathlib import Path
from typing import Literal

from shizuku.checkpoints.huggingface import read_json
from shizuku.errors import CheckpointError

Pooling = Literal["mean", "first"]
"""The mean over all tokens, or the first one's ([CLS])."""
_MODES: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}


def declared_pooling(path: Path | None) -> Pooling:
    """What a directory's 1_Pooling/config.json says, the mean where there is none; CheckpointError for a way
    that is not known here.
    """
    file = None if path is None else path / "1_Pooling" / "config.json"
    if file is None or not file.is_file():
        return "mean"
    said = read_json(file)
    chosen = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise CheckpointError(
            f"{file} says {', '.join(chosen) or 'nothing'}; known is one of {', '.join(_MODES)}"
        )
    return _MODES[chosen[0]]
