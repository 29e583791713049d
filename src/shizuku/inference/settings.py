"""What a caller can set for one continuation, and where the defaults come from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shizuku.config import from_dict
from shizuku.errors import CheckpointError, ConfigError
from shizuku.inference.sampling import SamplingConfig

# The longest continuation where no limit is asked for.
DEFAULT_NEW_TOKENS = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationSettings(SamplingConfig):
    """How a text is continued."""

    max_new_tokens: int | None = None
    """Most tokens to make; none: what the window has room for, at most 512."""
    stop: tuple[str, ...] = ()
    """Strings that end the text; they are found across token borders and are not part of it."""

    def __post_init__(self) -> None:
        SamplingConfig.__post_init__(self)
        if self.max_new_tokens is not None and self.max_new_tokens < 0:
            raise ConfigError(f"--max-new-tokens {self.max_new_tokens}: expected a whole number >= 0")


def settings_from(generation: Mapping[str, Any], path: Path | None = None) -> dict[str, Any]:
    """Settings where the caller gives none, read from a generation_config.json as `transformers` reads it:
    greedy decoding unless `do_sample` is true.

    Raises CheckpointError naming the file (in the directory `path`) for an impossible value.
    """
    always, sampled = ("repetition_penalty", "max_new_tokens"), ("temperature", "top_k", "top_p", "min_p")
    known = always + (sampled if generation.get("do_sample") else ())
    said = {key: generation[key] for key in known if generation.get(key) is not None}
    if not generation.get("do_sample"):
        said["temperature"] = 0.0
    if said.get("top_k") == 0:
        del said["top_k"]  # 0 is how `transformers` says that there is no limit
    try:
        return asdict(from_dict(GenerationSettings, said))
    except ConfigError as error:
        raise CheckpointError(f"{path or 'this model'}: generation_config.json: {error}") from error


def limit_of(asked: GenerationSettings, *, room: int, usual: int | None = None) -> int:
    """Most tokens to make: what was asked for, or what there is room for up to the `usual` number, which a
    checkpoint may name.
    """
    limit = asked.max_new_tokens
    return max(min(usual or DEFAULT_NEW_TOKENS, room), 1) if limit is None else limit


def reserve_of(asked: GenerationSettings, window: int, usual: int | None = None) -> int:
    """How much of a window a conversation leaves to its answer."""
    if asked.max_new_tokens is not None:
        return asked.max_new_tokens
    return min(usual or DEFAULT_NEW_TOKENS, window // 4)
