"""What stands around a text that is read whole: [CLS] before it, [SEP] behind it, [MASK] for hidden
tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shizuku.errors import TokenizerError
from shizuku.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Marks:
    """The ids of the control tokens that an encoder needs."""

    first: int
    """Begins every text or pair: [CLS]."""
    end: int
    """Ends every text: [SEP]."""
    mask: int
    """Stands for a hidden token: [MASK]."""
    pad: int
    """Fills up rows: [PAD]."""


def marks_of(tokenizer: Tokenizer) -> Marks:
    """The marks of a vocabulary; TokenizerError naming those that it lacks."""
    found = {"cls": tokenizer.cls_id, "sep": tokenizer.sep_id, "mask": tokenizer.mask_id}
    missing = [f"{name}_token" for name, token in found.items() if token is None]
    if missing:
        raise TokenizerError(
            f"this tokenizer has no {', no '.join(missing)}, which an encoder needs: train one of the kind "
            "wordpiece (--vocabulary wordpiece), or give one that has them (--tokenizer)"
        )
    first, end, mask = (int(token) for token in found.values() if token is not None)
    return Marks(first, end, mask, 0 if tokenizer.pad_id is None else tokenizer.pad_id)


def fitting(first: Sequence[int], second: Sequence[int], room: int) -> tuple[Sequence[int], Sequence[int]]:
    """Both texts, cut at their ends so that they have `room` tokens together: the longer one first, down to
    the shorter one, then both.

    This is what the tokenizers library calls longest_first, to the token.
    """
    short, long = sorted((len(first), len(second)))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short, long = room // 2, room - room // 2
    kept = (short, long) if len(first) <= len(second) else (long, short)
    return first[: kept[0]], second[: kept[1]]


def framed(tokenizer: Tokenizer, ids: Sequence[int], second: Sequence[int] | None = None) -> list[int]:
    """A text's ids with [CLS] before and [SEP] behind them; a second text follows, with its own [SEP]."""
    first, end = tokenizer.cls_id, tokenizer.sep_id
    if first is None or end is None:
        marks_of(tokenizer)
    ends = [] if second is None else [*second, end]
    return [first, *ids, end, *ends]  # type: ignore[list-item]  # neither is None: checked above
