"""What `shizuku quantize` calibrates and measures on: two texts that have no document in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shizuku.data.shards import ShardSet
from shizuku.data.splitting import split_by_source
from shizuku.data.town import town_documents
from shizuku.errors import DocumentError, TokenizerError
from shizuku.evaluation.divergence import TokenWindows, encoded, token_windows
from shizuku.progress import say, warn_once
from shizuku.text.documents import Document, read_documents
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from shizuku.checkpoints.directory import Checkpoint
    from shizuku.commands.quantize import Config

WINDOW = 512
"""Tokens that the model sees at once here, where its context has room for them."""
HELD_OUT_SHARE = 0.2
"""Share of the bytes of --text that is measured on and not calibrated on."""
TOWN_MEGABYTES = 1.5


@dataclass(frozen=True, slots=True)
class Texts:
    """What to calibrate on, and what to measure on."""

    calibration: TokenWindows
    """Never measured on."""
    heldout: TokenWindows
    """Never calibrated on."""
    source: str
    """One sentence on where both come from."""


def texts_for(config: "Config", checkpoint: "Checkpoint", tokenizer: Tokenizer) -> Texts:
    """The two texts: of --text, else of the model's own shards, else the town's; says which.

    DocumentError where a text is empty or cannot be split.
    """
    if config.text:
        calibration, heldout, source = _given(config, tokenizer)
    else:
        found = _own_shards(checkpoint, tokenizer)
        calibration, heldout, source = found or _town(tokenizer)
    if config.heldout:
        heldout = encoded(tokenizer, _read(config.heldout, config.field))
        source += "; measured on --heldout"
    say(f"text: {source}")
    window = min(checkpoint.model.config.context, WINDOW)
    return Texts(
        token_windows(calibration, tokens=config.calibration_tokens, window=window),
        token_windows(heldout, tokens=config.heldout_tokens, window=window),
        source,
    )


Sequences = Iterator[Sequence[int]] | Iterator[list[int]]


def _given(config: "Config", tokenizer: Tokenizer) -> tuple[Sequences, Sequences, str]:
    documents = _read(config.text, config.field)
    if config.heldout:
        return encoded(tokenizer, documents), iter(()), "calibrated on --text"
    size = sum(len(document.text.encode()) for document in documents)
    split = split_by_source(documents, heldout_bytes=max(1, int(HELD_OUT_SHARE * size)))
    source = f"--text, calibrated on one part and measured on the other ({split.note})"
    return encoded(tokenizer, split.train), encoded(tokenizer, split.heldout), source


def _read(paths: Sequence[Path], field: str) -> list[Document]:
    problems = Problems()
    documents = list(read_documents(paths, field=field, problems=problems))
    if problems:
        say(problems.report())
    if not documents:
        raise DocumentError(
            f"there is no text in {', '.join(map(str, paths))}: give another --text or --heldout"
        )
    return documents


def _own_shards(checkpoint: "Checkpoint", tokenizer: Tokenizer) -> tuple[Sequences, Sequences, str] | None:
    """The tokens that the model was trained on and those held out, where they lie beside it."""
    recorded = (checkpoint.run.get("data") or {}).get("train") or {}
    for place in (checkpoint.path / "shards", checkpoint.path.parent / "shards"):
        if not ((place / "train").is_dir() and (place / "heldout").is_dir()):
            continue
        try:
            train, heldout = (
                ShardSet.open(place / part, tokenizer=tokenizer) for part in ("train", "heldout")
            )
        except (DocumentError, TokenizerError) as error:
            warn_once(f"{place} is not used: {error}")
            continue
        if recorded.get("digest", train.digest) != train.digest:
            warn_once(f"{place} is not used: the model's run.json names other training text")
            continue
        source = f"{place}: calibrated on the model's training text, measured on what was held out from it"
        return _spread(train), _spread(heldout), source
    return None


def _spread(shards: ShardSet) -> Iterator[Sequence[int]]:
    """Documents from all over the shards: the first of each 97, then the second of each, and so on."""
    for first in range(min(97, shards.documents)):
        for number in range(first, shards.documents, 97):
            yield shards.document(number).tolist()


def _town(tokenizer: Tokenizer) -> tuple[Sequences, Sequences, str]:
    parts: dict[bool, list[str]] = {True: [], False: []}
    for document in town_documents(megabytes=TOWN_MEGABYTES):
        parts[document.split == "train"].append(document.text)
    source = (
        "the simulated town's, which this model may know nothing of (--text takes yours): calibrated on its "
        "training days, measured on its held-out days and people"
    )
    return encoded(tokenizer, parts[True]), encoded(tokenizer, parts[False]), source
