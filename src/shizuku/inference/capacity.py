"""How large a cache may become."""

from shizuku.checkpoints.memory import available_memory
from shizuku.errors import ConfigError
from shizuku.inference.engine_settings import EngineSettings
from shizuku.inference.runtime import Runtime, is_indivisible

# Without a setting: this many tokens, or two windows of the model if that is more …
USUAL_TOKENS = 16_384
# … but not more than this part of the memory that is free.
MEMORY_SHARE = 0.25
# Sequences whose state is kept, where each is one block: as many as are worked on at once, or these.
SEQUENCES = 1024


def cache_blocks(runtime: Runtime, settings: EngineSettings) -> int:
    """The limit in blocks that `settings` and the machine set; ConfigError for less than one block.

    Where a block is a whole sequence of any length, tokens limit nothing: bytes do.
    """
    size, tokens = runtime.block_tokens, settings.cache_tokens
    if is_indivisible(runtime):
        tokens = size * max(SEQUENCES, 4 * settings.running)
    if tokens is None:
        room = settings.cache_bytes
        if room is None:
            room = int(available_memory() * MEMORY_SHARE)
            tokens = max(USUAL_TOKENS, 2 * runtime.context)
        blocks = room // max(runtime.block_bytes, 1)
        blocks = blocks if tokens is None else min(blocks, -(-tokens // size))
    else:
        blocks = -(-tokens // size)
        room = settings.cache_bytes
        if room is None and is_indivisible(runtime):
            room = int(available_memory() * MEMORY_SHARE)
        if room is not None:
            blocks = min(blocks, room // max(runtime.block_bytes, 1))
    if blocks < 1:
        raise ConfigError(
            f"--cache-bytes {room}: one block of {size} tokens takes {runtime.block_bytes} bytes"
        )
    return blocks
