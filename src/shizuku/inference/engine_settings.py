"""What an engine may use, and how it shares it."""

from dataclasses import dataclass

from shizuku.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """How many requests an engine works on at once, how large its cache may become, how long its queue."""

    running: int = 16
    """Most requests that are worked on at once; the others wait."""
    waiting: int = 256
    """Most requests that wait; one more is refused with EngineBusy."""
    waiting_per_client: int | None = None
    """Most requests of one client that wait; none: as many as of all."""
    cache_tokens: int | None = None
    """Most tokens that the cache holds, all requests together; none: what `cache_bytes` says."""
    cache_bytes: int | None = None
    """Most bytes of the cache; none: two windows of the model or 16,384 tokens, but a quarter of the free
    memory at most. It starts small and grows."""
    prefill_tokens: int = 512
    """Most tokens of prompts that are read in one step while nobody waits for a next token."""
    shared_tokens: int = 128
    """Most tokens of prompts that are read in one step beside requests that get a token in it."""
    speculative_tokens: int = 0
    """Most tokens that are guessed ahead for one request in a step; 0: none. The text stays the same."""
    speculative_running: int = 4
    """Nothing is guessed while more requests than this get tokens: the processor is busy without it."""

    def __post_init__(self) -> None:
        """Check each number by itself."""
        least = {"waiting": 0, "speculative_tokens": 0, "speculative_running": 0}
        for name in self.__dataclass_fields__:
            value, low = getattr(self, name), least.get(name, 1)
            if value is not None and value < low:
                raise ConfigError(f"--{name.replace('_', '-')} {value}: expected a whole number >= {low}")
