"""How large a cache may become."""

from shizuku.checkpoints.memory import available_memory
from shizuku.errors import ConfigError
from shizuku.inference.engine_settings import EngineSettings
from shizuku.inference.runtime import Runtime

# Without a setting: this many tokens, or two windows of the model if that is more …
USUAL_TOKENS = 16_384
# … but not more than this part of the memory that is free.
MEMORY_SHARE = 0.25


def cache_blocks(runtime: Runtime, settings: EngineSettings) -> int:
    """The limit in blocks that `settings` and the machine set; ConfigError for less than one block."""
    size, tokens = runtime.block_tokens, settings.cache_tokens
    if tokens is None:
        room = settings.cache_bytes
        if room is None:
            room = int(available_memory() * MEMORY_SHARE)
            tokens = max(USUAL_TOKENS, 2 * runtime.context)
        blocks = room // max(runtime.block_bytes, 1)
        blocks = blocks if tokens is None else min(blocks, -(-tokens // size))
    else:
        blocks = -(-tokens // size)
        if settings.cache_bytes is not None:
            blocks = min(blocks, settings.cache_bytes // max(runtime.block_bytes, 1))
    if blocks < 1:
        raise ConfigError(
            f"--cache-bytes {settings.cache_bytes}: one block of {size} tokens takes "
            f"{runtime.block_bytes} bytes"
        )
    return blocks
