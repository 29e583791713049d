"""Guessing ahead changes the number of steps and nothing else."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from engine_models import GREEDY, SAMPLED, VOCABULARY, asked, engine_on, micro, nothing_is_held, tokens, words

from shizuku.errors import ConfigError
from shizuku.inference.engine import Engine, EngineSettings
from shizuku.inference.requests import Request
from shizuku.inference.sampling import SamplingConfig
from shizuku.inference.speculation import DraftModel
from shizuku.inference.torch_runtime import TorchRuntime
from shizuku.models.decoder import Decoder

NARROW = SamplingConfig(temperature=0.6, top_k=3, repetition_penalty=1.1, seed=4)


def with_draft(model: Decoder, draft: Decoder, **settings: int) -> Engine:
    target, small = TorchRuntime(model, block_tokens=8), TorchRuntime(draft, block_tokens=4)
    asked_for = EngineSettings(speculative_tokens=6, **settings)
    return Engine(target, asked_for, guesser=DraftModel(small, target=target, settings=asked_for))


def requests(sampling: SamplingConfig, new: int = 40) -> list[Request]:
    repeating = words(6, seed=1) * 5
    return [
        asked(ids, new, sampling=sampling, index=n, logprobs=1, stop_ids=frozenset({96}))
        for n, ids in enumerate([repeating, words(20, seed=2), words(1, seed=3)])
    ]


def same_steps(one: list, other: list) -> bool:  # type: ignore[type-arg]
    return all(
        (a.token_id, a.finish) == (b.token_id, b.finish) and a.logprob == pytest.approx(b.logprob, abs=1e-4)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED, NARROW], ids=["greedy", "sampled", "narrow"])
@pytest.mark.parametrize("how", ["lookup", "itself", "another", "other tastes"])
def test_the_text_is_what_it_is_without_guessing(sampling: SamplingConfig, how: str) -> None:
    model = micro()
    plain = engine_on(model)
    engine = {
        "lookup": lambda: engine_on(model, speculative_tokens=6),
        "itself": lambda: with_draft(model, model),
        "another": lambda: with_draft(model, micro(seed=5)),
        "other tastes": lambda: with_draft(model, micro(), running=2, shared_tokens=5),
    }[how]()
    wanted = [list(ticket) for ticket in [plain.submit(request) for request in requests(sampling)]]
    found = [list(ticket) for ticket in [engine.submit(request) for request in requests(sampling)]]
    for one, other in zip(wanted, found, strict=True):
        assert same_steps(one, other)
    now = engine.statistics()
    assert now.guessed_tokens > 0
    if how == "itself":
        assert now.right_guesses == now.guessed_tokens, "the same model draws the same with the same numbers"
        assert now.steps < plain.statistics().steps / 2
    assert now.made_tokens == sum(map(len, wanted))
    assert nothing_is_held(engine)


def test_two_hundred_draws_from_one_prompt_come_out_the_same() -> None:
    """With a draft model that is often wrong, in a crowd: the distribution is the model's own."""
    model, counts = micro(), []
    for engine in (
        engine_on(model, running=64),
        with_draft(model, micro(seed=5), running=64, speculative_running=64),
    ):
        sampling = SamplingConfig(seed=7, top_k=4)
        tickets = [engine.submit(asked(words(6, seed=9), 3, sampling=sampling, index=n)) for n in range(200)]
        counts.append(Counter(tuple(tokens(ticket)) for ticket in tickets))
    assert counts[0] == counts[1]
    assert len(counts[0]) > 10


def test_guessing_saves_steps_where_the_text_repeats_itself() -> None:
    model = micro()

    def cycle(ids: Sequence[int], logits_V: np.ndarray) -> np.ndarray:
        logits_V = np.full_like(logits_V, -50.0)
        logits_V[(ids[-1] + 1) % 7] = 0.0
        return logits_V

    cycle.pure = True  # type: ignore[attr-defined]
    engine = engine_on(model, speculative_tokens=8)
    found = tokens(engine.submit(asked([0, 1, 2, 3, 4, 5, 6, 0, 1], 60, processors=[cycle])))
    assert found == [(2 + n) % 7 for n in range(60)]
    now = engine.statistics()
    assert (now.steps, now.right_guesses) < (14, now.guessed_tokens + 1)
    assert now.right_guesses > 45


def test_processors_with_a_memory_see_every_token_once_and_in_order() -> None:
    seen: list[int] = []

    def remembers(ids: Sequence[int], logits_V: np.ndarray) -> np.ndarray:
        seen.append(len(ids))
        return logits_V

    engine = with_draft(micro(), micro())
    ids = words(5) * 4
    assert len(tokens(engine.submit(asked(ids, 20, processors=[remembers])))) == 20
    assert seen == list(range(20, 40))
    assert engine.statistics().guessed_tokens == 0


def test_wrong_guesses_are_left_off() -> None:
    engine = with_draft(micro(), micro(seed=5))
    list(engine.submit(asked(words(10), 100)))
    now = engine.statistics()
    assert now.guessed_tokens < 2.2 * now.steps, "with nothing coming true it guesses little"


def test_a_crowd_is_not_guessed_for() -> None:
    engine = with_draft(micro(), micro(), speculative_running=2)
    tickets = [engine.submit(asked(words(10, seed=n), 20)) for n in range(3)]
    for ticket in tickets:
        list(ticket)
    assert engine.statistics().guessed_tokens == 0


def test_a_draft_without_room_or_with_a_short_window_only_guesses_less() -> None:
    model = micro()
    wanted = tokens(engine_on(model).submit(asked(words(60), 60)))
    target = TorchRuntime(model)
    settings = EngineSettings(speculative_tokens=4)
    for small in (
        DraftModel(TorchRuntime(micro(context=80)), target=target),
        DraftModel(TorchRuntime(model), target=target, settings=EngineSettings(cache_tokens=64)),
    ):
        engine = Engine(target, settings, guesser=small)
        assert tokens(engine.submit(asked(words(60), 60))) == wanted
        assert engine.statistics().guessed_tokens < 30


def test_a_draft_of_another_vocabulary_is_refused() -> None:
    from tiny_language_model import tiny_model

    with pytest.raises(
        ConfigError, match=f"--draft: a model with 50 tokens cannot guess for one with {VOCABULARY}"
    ):
        DraftModel(TorchRuntime(tiny_model(50)), target=TorchRuntime(micro()))
