"""What no model can continue, refused with the reason."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from shizuku.errors import ConfigError, ModelError


def check_prompt(
    prompt: Sequence[int], new_tokens: int, *, context: int, vocab_size: int, name: str = "the prompt"
) -> None:
    """Refuse a prompt that a model of this `context` and vocabulary can't continue by `new_tokens`.

    Raises ModelError for the prompt's faults, ConfigError for those of the limit.
    """
    if new_tokens < 0:
        raise ConfigError(f"--max-new-tokens {new_tokens}: expected a whole number >= 0")
    if len(prompt) == 0:
        raise ModelError(f"{name} is empty: a model needs at least one token to continue from")
    if min(prompt) < 0 or max(prompt) >= vocab_size:
        bad = next(token for token in prompt if not 0 <= token < vocab_size)
        raise ModelError(f"{name}: token id {bad} is not one of the model's 0 to {vocab_size - 1}")
    if len(prompt) > context:
        what = "--prompt" if "prompt" in name else "it"
        raise ModelError(f"{name} has {len(prompt)} tokens, the context length is {context}: shorten {what}")
    if len(prompt) + new_tokens > context:
        raise ConfigError(
            f"--max-new-tokens {new_tokens}: with the {len(prompt)} tokens of {name} that is more than the "
            f"context length {context}; at most {context - len(prompt)} fit"
        )


def one_sequence(token_ids: Any, what: str = "token_ids") -> list[int]:
    """The ids as a list; ModelError for a batch, whose padding could not be told from text."""
    shape = getattr(token_ids, "shape", None)
    values = list(token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids)
    if (shape is not None and len(shape) != 1) or any(isinstance(v, list | tuple) for v in values):
        seen = f"a tensor of shape {tuple(shape)}" if shape is not None else "a list of lists"
        raise ModelError(
            f"{what}: expected the ids of one sequence, without padding; got {seen}. Padding can't be told "
            "from text by its id (it may equal the end token): pass each sequence by itself, or call "
            "lm.model(ids_BT, segments_BT=…) with -1 where there is padding"
        )
    strange = [value for value in values if not isinstance(value, Integral) or isinstance(value, bool)]
    if strange:
        raise ModelError(f"{what}: expected token ids (whole numbers), got {strange[0]!r}")
    return [int(value) for value in values]
