"""A directory with a model, written as a whole: its files, their digests in `run.json`, and what else stays.

Whatever happens, the directory holds the old contents or the new ones.
"""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from shizuku.checkpoints.digests import digest_files
from shizuku.checkpoints.kinds import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from shizuku.checkpoints.memory import readable
from shizuku.checkpoints.replacing import carry_over, check_replaceable, put_in_place, replaced, workspace
from shizuku.checkpoints.run_record import RUN_FILE, json_text, run_record
from shizuku.checkpoints.undisturbed import STATE
from shizuku.errors import CheckpointError, TokenizerError
from shizuku.text.tokenizer import Tokenizer

OWN_NAMES = frozenset(
    {
        "config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json",
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
        "additional_chat_templates", ADAPTER_CONFIG, ADAPTER_WEIGHTS, RUN_FILE, STATE,
    }
)  # fmt: skip
"""What a save replaces or drops; everything else in the directory is left as it is."""
TYPED_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
"""What transformers' tokenizer gives a model that tells the two texts of a pair apart."""
REPLACEABLE = ("config.json", ADAPTER_CONFIG, RUN_FILE)
"""One of these shows that a directory with files holds a checkpoint, which may be replaced."""


def write_directory(
    directory: str | Path,
    fill: Callable[[Path], None],
    *,
    needed: int,
    run: Mapping[str, Any] | None = None,
    extra: Callable[[Path], None] | None = None,
) -> Path:
    """Let `fill` and then `extra` write into an empty folder, add `run.json`, and put it in place of
    `directory`, whose files that are no part of a checkpoint stay; returns its path.

    `needed` is how many bytes the weights take. A full disk and an unwritable place raise CheckpointError
    and leave what was there.
    """
    target = Path(os.path.realpath(directory))
    check_replaceable(target, REPLACEABLE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_space(target, needed)
        with workspace(target) as made:
            fill(made)
            if extra is not None:
                extra(made)
            record = {**run_record(), **(run or {}), "files": digest_files(made, _files(made))}
            (made / RUN_FILE).write_text(json_text(record), encoding="utf-8")
            if target.is_dir():
                _carry_over(target, made)
            put_in_place(made, target)
            # What others wrote into the old directory in the meantime is not lost either.
            before = replaced(made, target)
            if before is not None:
                _carry_over(before, target)
                shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        raise _not_written(target, error, needed) from error
    return target


def bytes_of(weights: Mapping[str, Tensor]) -> int:
    """How many bytes these tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in weights.values())


def write_model(
    made: Path,
    foreign: Mapping[str, Any],
    tensors: dict[str, Tensor],
    tokenizer: Tokenizer | None,
    generation: Mapping[str, Any] | None,
) -> None:
    """Write config.json, generation_config.json, model.safetensors and the tokenizer's files."""
    ids: dict[str, Any] = {}
    if tokenizer is not None:
        stops = sorted(tokenizer.stop_ids)
        ids = {
            "bos_token_id": tokenizer.bos_id,
            "eos_token_id": tokenizer.eos_id,
            "pad_token_id": tokenizer.pad_id,
        }
        generation = {
            **ids,
            "eos_token_id": stops[0] if len(stops) == 1 else stops or None,
            **(generation or {}),
        }
        # Without this transformers gives both texts of a pair the type of the first.
        typed = int(foreign.get("type_vocab_size") or 0) > 1
        save_tokenizer(tokenizer, made, settings={"model_input_names": TYPED_INPUTS} if typed else None)
    (made / "config.json").write_text(json_text({**foreign, **ids}), encoding="utf-8")
    if generation:
        (made / "generation_config.json").write_text(json_text(generation), encoding="utf-8")
    write_tensors(made / "model.safetensors", tensors, beside=made / "config.json")


def write_tensors(path: Path, tensors: dict[str, Tensor], *, beside: Path) -> None:
    """Write a safetensors file that is as public as the file `beside` it; OSError for a full disk."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{path.name}: {error}") from error
    # safetensors makes its file readable for its owner alone.
    path.chmod(beside.stat().st_mode)


def save_tokenizer(tokenizer: Tokenizer, made: Path, *, settings: Mapping[str, Any] | None = None) -> None:
    """Write a tokenizer's files, with further `settings`; OSError for a full disk."""
    try:
        tokenizer.save(made, settings=settings)
    except TokenizerError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise
    except Exception as error:  # the tokenizers library raises bare Exception for a full disk
        raise OSError(f"tokenizer.json: {error}") from error


def _files(made: Path) -> list[Path]:
    return [path for path in made.rglob("*") if path.is_file()]


def _carry_over(old: Path, new: Path) -> None:
    shards = {path.name for path in old.glob("model-*-of-*.safetensors")}
    carry_over(old, new, OWN_NAMES | shards)


def _check_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _not_written(target: Path, error: OSError, needed: int) -> CheckpointError:
    kept = f" What was in {target} is still there." if target.exists() else ""
    cause = error.strerror or str(error)
    file = next((parent for parent in target.parents if parent.is_file()), None)
    if file is not None:
        cause = f"{file} is a file"
    # Libraries that write on their own give no number, only a text.
    if file is not None or error.errno not in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return CheckpointError(
            f"cannot write the checkpoint {target}: {cause}. Choose a place that can be written, "
            f"with --out.{kept}"
        )
    free = readable(shutil.disk_usage(target.parent).free)
    return CheckpointError(
        f"cannot write the checkpoint {target}: {cause}. It needs {readable(needed)} for its weights, and "
        f"{free} are free in {target.parent}: free some space there or choose another --out.{kept}"
    )
