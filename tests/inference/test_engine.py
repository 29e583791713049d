"""The engine's promises: who shares, who waits, who goes first; every end is told and leaves nothing."""

import contextlib
import queue
import random
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from engine_models import (
    GREEDY,
    SAMPLED,
    VOCABULARY,
    asked,
    engine_on,
    micro,
    naive,
    nothing_is_held,
    tokens,
    words,
)

from shizuku.errors import ConfigError, EngineBusy, EngineError, ModelError
from shizuku.inference.engine import Engine, EngineSettings, Request, Step, Ticket
from shizuku.inference.runtime import Span
from shizuku.inference.torch_runtime import TorchRuntime

# ---- what is shared


def test_a_shared_beginning_is_read_once_even_by_requests_that_come_together() -> None:
    model, system = micro(), words(64, seed=1)
    engine = engine_on(model, prefill_tokens=32, shared_tokens=16)
    tickets = [engine.submit(asked([*system, *words(6, seed=n)])) for n in range(2, 8)]
    for n, ticket in enumerate(tickets, start=2):
        assert tokens(ticket) == naive(model, [*system, *words(6, seed=n)], 8)
    now = engine.statistics()
    assert now.prompt_tokens == 64 + 6 * 6, "the beginning once, and six times what is new"
    assert now.reused_tokens == 5 * 64
    assert [ticket.reused_tokens for ticket in tickets] == [0, 64, 64, 64, 64, 64]
    assert nothing_is_held(engine)


def test_a_beginning_whose_reader_is_cancelled_is_read_by_the_next() -> None:
    model, system = micro(), words(64, seed=1)
    engine = engine_on(model, prefill_tokens=16)
    first, second = (engine.submit(asked([*system, n])) for n in (3, 4))
    engine.step()
    first.cancel()
    assert tokens(second) == naive(model, [*system, 4], 8)
    assert engine.statistics().prompt_tokens == 65, "the piece that the first one read is used"


def test_long_prompts_do_not_stall_those_who_get_tokens() -> None:
    engine = engine_on(micro(), prefill_tokens=64, shared_tokens=8)
    talking = engine.submit(asked(words(4), 30))
    next(talking)
    reading = engine.submit(asked(words(160, seed=1), 4))
    for _ in range(12):
        before = len(talking.ready())
        assert engine.step()
        assert before + len(talking.ready()) == 1, "a token in every step"
    assert not reading.ready(), "at 8 tokens a step the long prompt is still being read"
    assert engine.statistics().prompt_tokens == 4 + 12 * 8
    assert len(tokens(reading)) == 4


# ---- blocks run out


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_who_loses_its_blocks_gives_the_same_text(sampling: object) -> None:
    model = micro()
    prompts = [words(n, seed=n) for n in (20, 9, 31, 15, 26)]
    # Five times up to 31 + 24 tokens in room for 72: all must give way to one another.
    cramped, roomy = engine_on(model, cache_tokens=72), engine_on(model)
    found = [
        [engine.submit(asked(p, 24, sampling=sampling, index=n)) for n, p in enumerate(prompts)]  # type: ignore[arg-type]
        for engine in (cramped, roomy)
    ]
    assert [tokens(ticket) for ticket in found[0]] == [tokens(ticket) for ticket in found[1]]
    assert cramped.statistics().preemptions > 2
    assert roomy.statistics().preemptions == 0
    assert nothing_is_held(cramped)


def test_prompts_that_fill_the_cache_together_still_end() -> None:
    model = micro()
    engine = engine_on(model, cache_tokens=128, prefill_tokens=16)
    prompts = [words(90, seed=n) for n in range(4)]
    tickets = [engine.submit(asked(prompt, 20)) for prompt in prompts]
    for prompt, ticket in zip(prompts, tickets, strict=True):
        assert tokens(ticket) == naive(model, prompt, 20)
    assert nothing_is_held(engine)


def test_what_can_never_fit_is_refused() -> None:
    engine = engine_on(micro(), cache_tokens=64)
    assert engine.capacity == 64
    assert len(tokens(engine.submit(asked(words(60), 4)))) == 4
    with pytest.raises(ConfigError, match=r"--max-new-tokens 5: .* 60 tokens .* cache holds, 64 tokens"):
        engine.submit(asked(words(60), 5))


def test_the_cache_is_bounded_in_bytes_and_starts_small() -> None:
    runtime = TorchRuntime(micro(), block_tokens=8)
    assert runtime.block_bytes == 8 * 2 * 2 * 2 * 8 * 4, (
        "tokens, layers, keys and values, heads, width, float32"
    )
    engine = Engine(runtime, EngineSettings(cache_bytes=100 * runtime.block_bytes))
    assert (engine.statistics().blocks_most, engine.statistics().blocks) == (100, 0)
    list(engine.submit(asked(words(10))))
    assert engine.statistics().blocks == 32
    with pytest.raises(ConfigError, match="--cache-bytes 100: one block of 8 tokens takes 2048 bytes"):
        Engine(runtime, EngineSettings(cache_bytes=100))


# ---- who goes first


def ends(tickets: dict[str, list[Ticket]], engine: Engine) -> list[str]:
    """The clients in the order in which their requests ended."""
    order, left = [], [(client, ticket) for client, some in tickets.items() for ticket in some]
    while left:
        assert engine.step()
        order += [client for client, ticket in left if ticket.done]
        left = [(client, ticket) for client, ticket in left if not ticket.done]
    return order


def test_a_client_with_a_long_list_does_not_hold_up_the_others() -> None:
    engine = engine_on(micro(), running=2)
    tickets = {"many": [engine.submit(asked(words(5, seed=n), client="many")) for n in range(10)]}
    engine.step()
    for client in ("a", "b"):
        tickets[client] = [engine.submit(asked(words(5), client=client))]
    order = ends(tickets, engine)
    assert {"a", "b"} < set(order[:4]), f"they came last and ended in {order}"


def test_a_new_client_takes_a_place_of_one_who_has_them_all() -> None:
    model = micro()
    engine = engine_on(model, running=3)
    long = [engine.submit(asked(words(5, seed=n), 24, client="many", index=n)) for n in range(3)]
    for _ in range(5):
        engine.step()
    short = engine.submit(asked(words(7), 4, client="one"))
    for _ in range(6):
        engine.step()
    assert short.done and not any(ticket.done for ticket in long)
    assert engine.statistics().preemptions == 1
    for n, ticket in enumerate(long):
        assert tokens(ticket) == naive(model, words(5, seed=n), 24)


def test_clients_get_equal_shares_of_tokens_and_not_of_requests() -> None:
    engine = engine_on(micro(), running=1)
    tickets = {
        "long": [engine.submit(asked(words(40, seed=n), 20, client="long")) for n in range(3)],
        "short": [engine.submit(asked(words(5, seed=n), 5, client="short")) for n in range(12)],
    }
    order = ends(tickets, engine)
    first_long = order.index("long")
    second_long = order.index("long", first_long + 1)
    assert order[first_long:second_long].count("short") >= 5, order


def test_a_full_queue_refuses_with_the_time_to_wait() -> None:
    engine = engine_on(micro(), running=1, waiting=2)
    first = engine.submit(asked(words(5), 30))
    next(first)
    held = [engine.submit(asked(words(5), 3, client=str(n))) for n in range(2)]
    with pytest.raises(EngineBusy, match=r"2 requests wait already \(--waiting 2\)") as refused:
        engine.submit(asked(words(5), 3))
    assert 1 <= refused.value.seconds <= 600
    assert engine.statistics().refused == 1
    first.cancel()
    engine.step()
    engine.submit(asked(words(5), 3)).cancel()
    assert [len(tokens(ticket)) for ticket in held] == [3, 3]


def test_one_client_may_not_fill_the_queue() -> None:
    engine = engine_on(micro(), running=1, waiting=9, waiting_per_client=2)
    for _ in range(3):  # the first has a place that is free
        engine.submit(asked(words(5), client="a"))
    with pytest.raises(EngineBusy, match=r"3 requests of yours wait already \(--waiting-per-client 2\)"):
        engine.submit(asked(words(5), client="a"))
    engine.submit(asked(words(5), client="b"))


# ---- ends


def test_cancelling_frees_the_blocks_at_once_and_is_told() -> None:
    engine = engine_on(micro(), running=2)
    running, waiting = (engine.submit(asked(words(30, seed=n), 50, client="c")) for n in (1, 2))
    other = engine.submit(asked(words(9), 50))
    for _ in range(3):
        next(running)
    used = engine.statistics().blocks_used
    for ticket in (running, waiting, other):
        ticket.cancel()
    assert used > 0 and nothing_is_held(engine)
    last = list(waiting)[-1]
    assert (last.token_id, last.finish, waiting.finish) == (-1, "cancelled", "cancelled")
    running.cancel()
    assert engine.statistics().ended == {"cancelled": 3}
    assert not engine.step(), "nothing is left to do"


def test_an_error_of_a_processor_is_its_requests_alone() -> None:
    model = micro()
    engine = engine_on(model)

    def fails(ids: Sequence[int], logits_V: np.ndarray) -> np.ndarray:
        if len(ids) == 7:
            raise RuntimeError("no such grammar")
        return logits_V

    bad, good = engine.submit(asked(words(5), processors=[fails])), engine.submit(asked(words(6)))
    assert len(tokens(good)) == 8
    with pytest.raises(RuntimeError, match="no such grammar"):
        list(bad)
    assert (bad.finish, bad.done) == (None, True)
    assert tokens(engine.submit(asked(words(5)))) == naive(model, words(5), 8)
    assert nothing_is_held(engine)


class Failing(TorchRuntime):
    """A runtime that fails in its third call."""

    calls = 0

    def forward(self, spans: Sequence[Span]) -> np.ndarray:
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("the processor is on fire")
        return super().forward(spans)


@pytest.mark.parametrize("started", [False, True])
def test_an_error_of_the_runtime_reaches_everybody_and_nothing_hangs(started: bool) -> None:
    engine = Engine(Failing(micro()), EngineSettings(running=1))
    if started:
        engine.start()
    tickets = [engine.submit(asked(words(5), 50)) for _ in range(3)]
    with pytest.raises((RuntimeError, EngineError), match="on fire"):
        list(tickets[0])
    for ticket in tickets[1:]:
        with pytest.raises(EngineError, match="the engine broke: RuntimeError: the processor is on fire"):
            list(ticket)
    with pytest.raises(EngineError, match="takes no more requests"):
        engine.submit(asked(words(5)))
    assert nothing_is_held(engine)
    engine.close()


def test_impossible_requests_are_refused() -> None:
    engine = engine_on(micro(context=32))
    with pytest.raises(ModelError, match="prompt 3: token id 97"):
        engine.submit(asked([97], index=3))
    with pytest.raises(ConfigError, match="at most 2 fit"):
        engine.submit(asked(words(30), 3))
    with pytest.raises(ConfigError, match="the engine wants a number"):
        engine.submit(Request(ids=[1], settings=asked([1]).settings.__class__()))
    for name, value in (("running", 0), ("shared_tokens", 0), ("waiting", -1)):
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} {value}: expected"):
            EngineSettings(**{name: value})


# ---- a thread of its own


def test_many_threads_submit_and_cancel_while_it_computes() -> None:
    model = micro()
    engine = engine_on(model, running=4)
    engine.start()
    found: dict[int, list[int]] = {}

    def client(number: int) -> None:
        for turn in range(3):
            ticket = engine.submit(asked(words(8, seed=number), 10, client=str(number)))
            if turn == 1:
                next(ticket)
                ticket.cancel()
                list(ticket)
            else:
                found[number] = tokens(ticket)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    engine.close()
    assert found == {number: naive(model, words(8, seed=number), 10) for number in range(8)}
    assert nothing_is_held(engine)


def test_callables_get_every_step_and_the_end() -> None:
    engine = engine_on(micro())
    engine.start()
    got: queue.Queue[Step | Ticket] = queue.Queue()
    ticket = engine.submit(asked(words(5), 6), on_step=got.put, on_end=got.put)
    seen = [got.get(timeout=30) for _ in range(7)]
    assert seen[-1] is ticket and ticket.finish == "length"
    assert [step.finish for step in seen[:-1]] == [None] * 5 + ["length"]  # type: ignore[union-attr]
    assert list(ticket) == []
    nothing = engine.submit(asked(words(5), 0), on_step=got.put, on_end=got.put)
    assert got.get(timeout=30) is nothing and nothing.finish == "length"
    engine.close()


def test_a_callable_may_cancel_and_its_error_ends_its_own_request() -> None:
    engine = engine_on(micro())
    steps: list[Step] = []

    def twice(step: Step) -> None:
        steps.append(step)
        if len(steps) == 2:
            ticket.cancel()

    def broken(step: Step) -> None:
        raise RuntimeError("the loop is closed")

    ticket = engine.submit(asked(words(5), 20), on_step=twice)
    gone = engine.submit(asked(words(6), 20), on_step=broken)
    assert len(tokens(engine.submit(asked(words(7), 5)))) == 5
    assert [step.finish for step in steps] == [None, None, "cancelled"]
    assert (ticket.finish, str(gone.error)) == ("cancelled", "the loop is closed")
    assert nothing_is_held(engine)


def test_closing_lets_requests_end_or_cancels_them() -> None:
    engine = engine_on(micro())
    engine.start()
    ticket = engine.submit(asked(words(5), 100))
    engine.close(finish_within=60.0)
    assert (len(tokens(ticket)), ticket.finish) == (100, "length")
    with pytest.raises(EngineError, match="it has been closed"):
        engine.submit(asked(words(5)))
    other = engine_on(micro())
    other.start()
    ticket = other.submit(asked(words(5), 200))
    next(ticket)
    begun = time.perf_counter()
    other.close()
    assert time.perf_counter() - begun < 5
    assert ticket.finish == "cancelled" and nothing_is_held(other)
    with pytest.raises(EngineError, match="cannot start again"):
        other.start()


# ---- log-probabilities


@pytest.mark.parametrize("chunk", [3, 512])
def test_the_prompt_is_told_with_the_log_probabilities_of_the_model(chunk: int) -> None:
    model, ids = micro(), words(23)
    engine = engine_on(model, prefill_tokens=chunk)
    list(engine.submit(asked(ids)))  # a cache that holds the prompt must not swallow its logits
    with torch.no_grad():
        logprobs_TV = model(torch.tensor([ids]))[0].double().log_softmax(-1)
    for new in (0, 2):
        ticket = engine.submit(asked(ids, new, logprobs=2, prompt_logprobs=True))
        steps = list(ticket)
        assert [step.token_id for step in steps[:23]] == ids
        assert [step.prompt for step in steps] == [True] * 23 + [False] * new
        assert [step.finish for step in steps] == [None] * (22 + new) + ["length"]
        assert (steps[0].logprob, steps[0].top) == (None, ())
        for place in range(1, 23):
            assert steps[place].logprob == pytest.approx(float(logprobs_TV[place - 1, ids[place]]), abs=1e-4)
            values, best = logprobs_TV[place - 1].topk(2)
            assert [token for token, _ in steps[place].top] == best.tolist()
            assert [value for _, value in steps[place].top] == pytest.approx(values.tolist(), abs=1e-4)
        assert tokens(steps) == naive(model, ids, new)


def test_the_prompt_is_told_once_though_its_blocks_were_lost() -> None:
    model = micro()
    cramped, roomy = engine_on(model, cache_tokens=48), engine_on(model)
    found = []
    for engine in (cramped, roomy):
        tickets = [
            engine.submit(asked(words(20, seed=n), 16, prompt_logprobs=True, client=str(n))) for n in range(3)
        ]
        found.append([[(s.token_id, s.prompt) for s in ticket] for ticket in tickets])
    assert cramped.statistics().preemptions > 0
    assert found[0] == found[1]


# ---- everything at once


@pytest.mark.parametrize("seed", range(2))
def test_random_joining_leaving_and_cancelling_leaks_nothing(seed: int) -> None:
    dice, model = random.Random(seed), micro()
    engine = engine_on(
        model,
        running=4,
        waiting=6,
        cache_tokens=160,
        prefill_tokens=24,
        shared_tokens=8,
        speculative_tokens=3,
    )
    going: list[tuple[Request, Ticket, list[int]]] = []
    ended = 0
    for turn in range(150):
        if dice.random() < 0.5:
            ids = [*words(dice.choice([0, 16, 40]), seed=5), *words(dice.randrange(1, 20), seed=turn)]
            request = asked(ids, dice.randrange(0, 14), client=dice.choice("abc"), index=turn)
            with contextlib.suppress(EngineBusy):
                going.append((request, engine.submit(request), []))
        if going and dice.random() < 0.1:
            going[dice.randrange(len(going))][1].cancel()
        engine.step()
        for entry in list(going):
            request, ticket, made = entry
            made += [step.token_id for step in ticket.ready() if step.token_id >= 0]
            if ticket.done:
                going.remove(entry)
                ended += 1
                if ticket.finish == "length":
                    assert made == naive(model, list(request.ids), request.settings.max_new_tokens or 0)
    for _, ticket, _ in going:
        ticket.cancel()
    assert ended > 25 and nothing_is_held(engine)
    assert engine.statistics().ended.keys() == {"length", "cancelled"}
    assert all(0 <= token < VOCABULARY for _, _, made in going for token in made)


def test_a_request_waits_for_blocks_that_are_lent_for_a_moment() -> None:
    model = micro()
    engine = engine_on(model, cache_tokens=64)
    with engine.lent(60):
        ticket = engine.submit(asked(words(20), 4))
        assert not engine.step() and not ticket.done, "it is not failed for what will be given back"
    assert tokens(ticket) == tokens(engine_on(model).submit(asked(words(20), 4)))
