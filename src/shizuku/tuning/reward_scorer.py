"""A trained reward model as a function of prompts and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shizuku.checkpoints.headed import load_headed
from shizuku.checkpoints.huggingface import read_json
from shizuku.checkpoints.undisturbed import needed_tokenizer
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.heads import HeadedDecoder
from shizuku.progress import warn_once
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.examples import Conversation
from shizuku.tuning.head_rows import head_outputs
from shizuku.tuning.rendering import encode_example

SCALE = "reward.json"
"""File beside a reward model's checkpoint: its zero, and what held-out pairs say of it."""

Prompt = str | Sequence[Mapping[str, Any]]
"""What was asked: the user's text, or the turns before the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardScale:
    """Where rewards have their zero: differences alone are learned."""

    offset: float = 0.0
    """What is added, so that people's chosen answers have a mean of zero."""
    deviation: float = 1.0
    """Standard deviation of the rewards of chosen answers."""


class RewardScorer:
    """A reward model that is called with prompts and completions, and gives a number for each.

    Each is rendered as in training, by the model's chat template, and read at the last token of the whole.
    """

    def __init__(self, model: HeadedDecoder, tokenizer: Tokenizer, scale: RewardScale | None = None) -> None:
        if model.outputs != 1:
            raise CheckpointError(
                f"a reward model gives one number, this model {model.outputs} "
                f"({', '.join(model.labels[:5])}): it is a classifier"
            )
        self.model, self.tokenizer, self.scale = model.eval(), tokenizer, scale or RewardScale()

    @classmethod
    def load(cls, path: str | Path) -> "RewardScorer":
        """Open what `shizuku reward` wrote, or a reward model of transformers' with one label.

        Raises as `load_headed`.
        """
        path = Path(path)
        found = load_headed(path)
        return cls(found.model, needed_tokenizer(found.tokenizer, path), read_scale(path))

    @property
    def name(self) -> str:
        """What messages call it."""
        return "reward model"

    def __call__(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[float]:
        """The reward of each completion; of a text longer than the window the beginning is read, and said."""
        if isinstance(prompts, str) or isinstance(completions, str) or len(prompts) != len(completions):
            given = [
                "one string" if isinstance(each, str) else f"{len(each)}" for each in (prompts, completions)
            ]
            raise ConfigError(
                "a reward model takes a list of prompts and a list of completions of the same length: got "
                f"{given[0]} and {given[1]}"
            )
        window = self.model.config.context
        texts = [self.ids(prompt, answer) for prompt, answer in zip(prompts, completions, strict=True)]
        if any(len(ids) > window for ids in texts):
            warn_once(f"answers beyond the reward model's window of {window} tokens are cut there")
        outputs_N1 = head_outputs(self.model, [ids[:window] for ids in texts])
        return (outputs_N1[:, 0].double() + self.scale.offset).tolist()

    def ids(self, prompt: Prompt, completion: str) -> list[int]:
        """The token ids of a prompt and an answer to it, as the reward model reads them."""
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        return encode_example(
            self.tokenizer, Conversation([*turns, {"role": "assistant", "content": completion}])
        ).ids


def read_scale(path: Path) -> RewardScale:
    """The scale beside a reward model; none where nothing says it. CheckpointError if it is damaged."""
    file = path / SCALE
    if not file.is_file():
        return RewardScale()
    keys = read_json(file)
    try:
        return RewardScale(offset=float(keys["offset"]), deviation=float(keys["deviation"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file}: expected numbers under offset and deviation ({error!r})") from error
