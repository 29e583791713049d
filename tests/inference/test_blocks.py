"""Block bookkeeping against a memory that remembers what was written: found blocks hold what they should."""

import random

import pytest

from shizuku.errors import ModelError
from shizuku.inference.blocks import BlockPool, BlockTable, key_after

SIZE = 4


class Memory:
    """What each slot of each block holds: the whole beginning of the sequence up to its token."""

    def __init__(self, most: int) -> None:
        self.slots: dict[int, list[tuple[int, ...] | None]] = {}
        self.pool = BlockPool(SIZE, most, reserve=self.reserve, copy=self.copy)

    def reserve(self, blocks: int) -> None:
        for block in range(len(self.slots), blocks):
            self.slots[block] = [None] * SIZE

    def copy(self, source: int, target: int) -> None:
        self.slots[target] = list(self.slots[source])

    def write(self, table: BlockTable, ids: list[int], start: int, end: int) -> None:
        for place in range(start, end):
            self.slots[table.blocks[place // SIZE]][place % SIZE] = tuple(ids[: place + 1])

    def check(self, table: BlockTable, ids: list[int], held: int) -> None:
        for place in range(held):
            assert self.slots[table.blocks[place // SIZE]][place % SIZE] == tuple(ids[: place + 1])


def test_equal_beginnings_share_blocks_and_the_rest_is_copied() -> None:
    memory = Memory(16)
    first = BlockTable(memory.pool)
    ids = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert first.share(ids, 0) == 0
    assert first.extend(10)
    memory.write(first, ids, 0, 10)
    first.enter(ids, 10)
    while_running = BlockTable(memory.pool)
    assert while_running.share([1, 2, 3, 4, 5, 6, 0], 0) == 6, "one block shared, half of the next copied"
    assert while_running.blocks[0] == first.blocks[0]
    assert while_running.blocks[1] != first.blocks[1]
    memory.check(while_running, ids, 6)
    first.release(ids, 10)
    again = BlockTable(memory.pool)
    assert again.share([*ids, 11, 12], 0) == 10, "the half-filled last block too"
    memory.check(again, ids, 10)
    assert BlockTable(memory.pool).share([2, 2, 3, 4], 0) == 0
    while_running.release([1, 2, 3, 4, 5, 6, 0], 6)
    again.release(ids, 10)
    assert memory.pool.used == 0


def test_keys_depend_on_everything_before() -> None:
    assert key_after(b"a", [1, 2]) != key_after(b"b", [1, 2])
    assert key_after(key_after(b"", [1]), [2]) != key_after(key_after(b"", [2]), [1])
    assert key_after(b"", [1, 2]) == key_after(b"", (1, 2))


def test_the_block_unused_for_longest_goes_first_and_the_end_of_a_sequence_before_its_beginning() -> None:
    memory = Memory(4)
    for start in (10, 20):
        ids = list(range(start, start + 2 * SIZE))
        table = BlockTable(memory.pool)
        assert table.extend(2 * SIZE)
        memory.write(table, ids, 0, 2 * SIZE)
        table.release(ids, 2 * SIZE)
    assert (memory.pool.idle, memory.pool.available) == (4, 4)
    held = BlockTable(memory.pool)
    assert held.extend(SIZE)
    older, newer = BlockTable(memory.pool), BlockTable(memory.pool)
    assert older.share(list(range(10, 18)), 0) == SIZE, "its second block was given away"
    assert newer.share(list(range(20, 28)), 0) == 2 * SIZE
    assert not BlockTable(memory.pool).extend(1), "all four are in use"
    assert memory.pool.available == 0


def test_memory_is_asked_for_as_it_is_needed_and_its_end_is_a_limit() -> None:
    asked: list[int] = []

    def reserve(blocks: int) -> None:
        if blocks > 64:
            raise ModelError("no memory")
        asked.append(blocks)

    pool = BlockPool(SIZE, 1000, reserve=reserve, copy=lambda source, target: None)
    assert (pool.blocks, asked) == (0, [])
    taken = [pool.take() for _ in range(65)]
    assert taken == [*range(64), None]
    assert (asked, pool.most, pool.available) == ([32, 64], 64, 0)


def test_no_memory_at_all_is_an_error() -> None:
    def reserve(blocks: int) -> None:
        raise ModelError("no memory")

    with pytest.raises(ModelError, match="no memory"):
        BlockPool(SIZE, 4, reserve=reserve, copy=lambda source, target: None).take()


def test_after_forgetting_nothing_is_found_nor_entered_by_those_who_go_on() -> None:
    memory = Memory(8)
    ids = list(range(10))
    running, ended = BlockTable(memory.pool), BlockTable(memory.pool)
    for table, held in ((running, 5), (ended, 10)):
        assert table.extend(10)
        memory.write(table, ids, 0, 10)
        table.enter(ids, held)
    ended.release(ids, 10)
    memory.pool.forget()
    assert memory.pool.idle == 0
    running.release(ids, 10)
    assert BlockTable(memory.pool).share(ids, 0) == 0
    assert memory.pool.available == 8


@pytest.mark.parametrize("seed", range(6))
def test_random_use_finds_only_what_was_written_and_loses_no_block(seed: int) -> None:
    """Sequences over three ids begin alike all the time; they join, grow, give back and end at random."""
    dice = random.Random(seed)
    memory = Memory(dice.choice([6, 12, 30]))
    going: list[tuple[BlockTable, list[int], int]] = []
    reused = 0
    for _ in range(1500):
        action = dice.random()
        if action < 0.22 or not going:
            table, ids = BlockTable(memory.pool), [dice.randrange(3) for _ in range(dice.randrange(1, 20))]
            held = table.share(ids[:-1], 0)
            reused += held
            memory.check(table, ids, held)
            going.append((table, ids, held))
        elif action < 0.74:
            number = dice.randrange(len(going))
            table, ids, held = going[number]
            if held == len(ids):
                ids.append(dice.randrange(3))
            held = max(held, table.share(ids[:-1], held))
            wanted = min(len(ids), held + dice.randrange(1, 6))
            if table.extend(wanted + dice.randrange(3)):
                memory.write(table, ids, held, wanted)
                held = wanted
                table.enter(ids, held)
            going[number] = (table, ids, held)
        elif action < 0.995:
            table, ids, held = going.pop(dice.randrange(len(going)))
            table.release(ids, held)
        else:
            memory.pool.forget()
        for table, ids, held in going:
            memory.check(table, ids, held)
        assert memory.pool.used + memory.pool.available == memory.pool.most
    for table, ids, held in going:
        table.release(ids, held)
    assert (memory.pool.used, memory.pool.available) == (0, memory.pool.most)
    assert reused > 100
