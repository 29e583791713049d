"""Who holds which cache block: references, blocks found again by what they hold, and eviction.

A block holds the keys and values of `block_tokens` consecutive tokens of a sequence. Its content depends on
those tokens and on all before them, so a full block's key is a hash of its tokens and of the key before it:
equal keys mean equal beginnings. Blocks that nobody uses stay as long as there is room, the ones unused for
longest go first. Only numbers are kept here; the runtime has the memory.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shizuku.errors import ModelError

# Blocks that begin like a sequence's next one are compared with it, the newest first, up to this many.
CANDIDATES = 16
# The first blocks that are asked of the runtime; afterwards the number doubles up to the limit.
FIRST_BLOCKS = 32


def key_after(parent: bytes, tokens: Sequence[int]) -> bytes:
    """The key of a full block with these tokens behind the one with the key `parent`."""
    return hashlib.blake2b(parent + array("q", tokens).tobytes(), digest_size=16).digest()


def _root_of(root: bytes, kind: bytes) -> bytes:
    return hashlib.blake2b(root, digest_size=16, key=kind).digest() if kind else root


@dataclass(frozen=True, slots=True)
class _Content:
    parent: bytes
    tokens: tuple[int, ...]
    key: bytes | None
    """None for a block that is only partly filled."""


class BlockPool:
    """All blocks of a cache: each is free, in use (with a count of its users), or kept for what it holds."""

    def __init__(
        self,
        block_tokens: int,
        most: int,
        *,
        reserve: Callable[[int], None],
        copy: Callable[[int, int], None],
        indivisible: bool = False,
    ) -> None:
        """Manage up to `most` blocks; `reserve(n)` is called before block n - 1 is used for the first time.

        `copy(source, target)` copies one block's content. An `indivisible` block is of use only to a sequence
        that begins with all of its tokens.
        """
        self.block_tokens, self.most, self._indivisible = block_tokens, most, indivisible
        self._reserve, self._copy = reserve, copy
        self.root = b"\0"
        """The key before the first block."""
        self._users: list[int] = []
        self._free: list[int] = []
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._contents: dict[int, _Content] = {}
        self._by_key: dict[bytes, int] = {}
        self._children: dict[tuple[bytes, int], list[int]] = {}

    @property
    def blocks(self) -> int:
        """Blocks that the runtime has been asked for so far."""
        return len(self._users)

    @property
    def idle(self) -> int:
        """Blocks that nobody uses, kept for what they hold."""
        return len(self._idle)

    @property
    def used(self) -> int:
        """Blocks in use."""
        return len(self._users) - len(self._free) - len(self._idle)

    @property
    def available(self) -> int:
        """Blocks that can be taken."""
        return self.most - self.used

    def take(self) -> int | None:
        """A block for one user, whatever it held; None if all are in use."""
        if not self._free:
            self._grow()
        if self._free:
            block = self._free.pop()
        elif self._idle:
            block, _ = self._idle.popitem(last=False)
            self._forget(block)
        else:
            return None
        self._users[block] = 1
        return block

    def share(self, block: int) -> None:
        """Count one more user."""
        if self._users[block] == 0:
            del self._idle[block]
        self._users[block] += 1

    def give_back(self, block: int) -> None:
        """Count one user less; a block without users is kept if it can be found again, else it is free."""
        assert self._users[block] > 0, f"block {block} was given back more often than taken"
        self._users[block] -= 1
        if self._users[block] == 0:
            if block in self._contents:
                self._idle[block] = None
            else:
                self._free.append(block)

    def find(self, key: bytes) -> int | None:
        """The full block with this key."""
        return self._by_key.get(key)

    def shared_with(self, keys: Sequence[bytes]) -> int:
        """How many of these keys, from the first on, are those of blocks in use."""
        found = 0
        for key in keys:
            block = self._by_key.get(key)
            if block is None or self._users[block] == 0:
                break
            found += 1
        return found

    def find_partly(self, parent: bytes, ids: Sequence[int]) -> tuple[int, int]:
        """The block behind `parent` that begins most like `ids`, and how many tokens they share; (-1, 0)."""
        found = (-1, 0)
        for block in reversed(self._children.get((parent, ids[0]), [])[-CANDIDATES:]):
            tokens = self._contents[block].tokens
            length = min(len(tokens), len(ids))
            shared = next((n for n in range(length) if tokens[n] != ids[n]), length)
            if shared > found[1] and (shared == len(tokens) or not self._indivisible):
                found = (block, shared)
        return found

    def copied(self, source: int) -> int | None:
        """A block of one's own with the content of `source`; None if there is no room."""
        self.share(source)  # taking a block must not evict this one
        block = self.take()
        if block is not None:
            self._copy(source, block)
        self.give_back(source)
        return block

    def enter(self, block: int, parent: bytes, tokens: Sequence[int]) -> bytes | None:
        """Make a block in use findable by the tokens that it holds; its key if it is full.

        Where the same content is known already the block stays private.
        """
        held, key = tuple(tokens), None
        if len(held) == self.block_tokens:
            key = key_after(parent, held)
            if key in self._by_key:
                return key
            self._by_key[key] = block
        elif self.find_partly(parent, held)[1] == len(held):
            return None
        assert block not in self._contents, f"block {block} was entered twice"
        self._contents[block] = _Content(parent, held, key)
        self._children.setdefault((parent, held[0]), []).append(block)
        return key

    def forget(self) -> None:
        """Find no block again (the weights have changed); blocks in use stay with their users."""
        self.root = key_after(self.root, [])  # what they enter from now on is not found either
        for block in list(self._contents):
            self._forget(block)
        self._free.extend(self._idle)
        self._idle.clear()

    def _forget(self, block: int) -> None:
        content = self._contents.pop(block)
        if content.key is not None:
            del self._by_key[content.key]
        place = (content.parent, content.tokens[0])
        self._children[place].remove(block)
        if not self._children[place]:
            del self._children[place]

    def _grow(self) -> None:
        have = len(self._users)
        blocks = min(max(2 * have, FIRST_BLOCKS), self.most)
        if blocks == have:
            return
        try:
            self._reserve(blocks)
        except ModelError:
            if have == 0:
                raise
            self.most = have  # there is no memory for more: what is here has to do
            return
        self._users.extend([0] * (blocks - have))
        self._free.extend(range(blocks - 1, have - 1, -1))  # the lowest is taken first: runs of blocks


class BlockTable:
    """The blocks of one sequence, in its order."""

    def __init__(self, pool: BlockPool, kind: bytes = b"") -> None:
        """Begin without blocks; sequences of another `kind` (an adapter's digest) share none with it."""
        self._pool = pool
        self.root = _root_of(pool.root, kind)
        """The key before its first block."""
        self.blocks: list[int] = []
        self._keys: list[bytes] = []

    def share(self, ids: Sequence[int], held: int) -> int:
        """Take over blocks that hold what `ids` begins with, after the first `held`; how many are held now.

        A block of which only a part fits is copied, as it will be written to.
        """
        pool, size = self._pool, self._pool.block_tokens
        if held % size or held != size * len(self.blocks):
            return held
        while len(ids) - held >= size:
            key = key_after(self.last_key, ids[held : held + size])
            block = pool.find(key)
            if block is None:
                break
            pool.share(block)
            self.blocks.append(block)
            self._keys.append(key)
            held += size
        if held < len(ids) and len(self._keys) == len(self.blocks):
            source, tokens = pool.find_partly(self.last_key, ids[held : held + size])
            copy = pool.copied(source) if tokens else None
            if copy is not None:
                self.blocks.append(copy)
                held += tokens
        return held

    def missing(self, tokens: int) -> int:
        """How many more blocks the first `tokens` tokens need."""
        return max(0, -(-tokens // self._pool.block_tokens) - len(self.blocks))

    def extend(self, tokens: int) -> bool:
        """Have blocks for the first `tokens` tokens; whether there are enough (else those there are stay)."""
        for _ in range(self.missing(tokens)):
            block = self._pool.take()
            if block is None:
                return False
            self.blocks.append(block)
        return True

    def enter(self, ids: Sequence[int], held: int) -> None:
        """Make full blocks of the first `held` tokens of `ids` findable for others."""
        size = self._pool.block_tokens
        while (len(self._keys) + 1) * size <= held:
            place = len(self._keys)
            tokens = ids[place * size : (place + 1) * size]
            key = self._pool.enter(self.blocks[place], self.last_key, tokens)
            assert key is not None, "a full block has a key"
            self._keys.append(key)

    def release(self, ids: Sequence[int], held: int) -> None:
        """Give all blocks back; what the first `held` tokens of `ids` left in them can be found again."""
        self.enter(ids, held)
        done = len(self._keys) * self._pool.block_tokens
        if held > done:
            self._pool.enter(self.blocks[len(self._keys)], self.last_key, ids[done:held])
        for block in reversed(self.blocks):  # the end of a sequence is of less use than its beginning
            self._pool.give_back(block)
        self.blocks, self._keys = [], []

    @property
    def last_key(self) -> bytes:
        """The key of the last full block, as far as they were entered."""
        return self._keys[-1] if self._keys else self.root
