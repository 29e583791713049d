"""Recurrent models in the engine: one block a sequence, no padding, the same text in any company."""

import numpy as np
import pytest
import torch
from engine_models import VOCABULARY, asked, naive, nothing_is_held, tokens, words

from shizuku.errors import ModelError
from shizuku.inference.engine import Engine, EngineSettings
from shizuku.inference.recurrent_runtime import RecurrentRuntime
from shizuku.inference.runtime import Span
from shizuku.models.architectures import build
from shizuku.models.gated_delta import GatedDeltaConfig
from shizuku.models.lstm import LSTMConfig
from shizuku.models.mamba import MambaConfig

CONFIGS = {
    "lstm": LSTMConfig(vocab_size=VOCABULARY, width=24),
    "mamba": MambaConfig(vocab_size=VOCABULARY, width=24, layers=2),
    "mamba2": MambaConfig(vocab_size=VOCABULARY, width=24, layers=2, heads=4),
    "recurrent": GatedDeltaConfig(
        vocab_size=VOCABULARY, width=24, layers=2, heads=2, key_width=8, value_width=12, ffn_width=32
    ),
}


@pytest.fixture(scope="module", params=CONFIGS)
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    made, generator = build(CONFIGS[request.param]), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return made.eval()


def whole(model: torch.nn.Module, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([ids]))[0].numpy()


def test_spans_of_different_lengths_are_as_alone(model: torch.nn.Module) -> None:
    runtime = RecurrentRuntime(model)
    runtime.reserve(4)
    texts = [words(30, 1), words(11, 2), words(1, 3), words(11, 4)]
    got = runtime.forward([Span(ids, 0, [n], "all") for n, ids in enumerate(texts)])
    expected = np.concatenate([whole(model, ids) for ids in texts])
    np.testing.assert_allclose(got, expected, atol=2e-5 * expected.std(), rtol=0)
    more = [words(5, 5), words(2, 6)]
    got = runtime.forward([Span(more[0], 30, [0], "last"), Span(more[1], 11, [1], "all")])
    expected = np.concatenate([whole(model, texts[0] + more[0])[-1:], whole(model, texts[1] + more[1])[-2:]])
    np.testing.assert_allclose(got, expected, atol=2e-5 * expected.std(), rtol=0)


def test_a_place_inside_the_last_span_can_be_come_back_to(model: torch.nn.Module) -> None:
    runtime, ids = RecurrentRuntime(model), words(40, 1)
    runtime.reserve(2)
    runtime.forward([Span(ids[:20], 0, [0])])
    runtime.forward([Span(ids[20:30], 20, [0])])
    for start in (20, 25, 30):  # wherever some of the tokens turned out wrong
        other = words(6, start)
        got = runtime.forward([Span(other, start, [0], "all")])
        expected = whole(model, ids[:start] + other)[start:]
        np.testing.assert_allclose(got, expected, atol=2e-5 * expected.std(), rtol=0)
        runtime.forward([Span(ids[:20], 0, [0])])
        runtime.forward([Span(ids[20:30], 20, [0])])
    with pytest.raises(AssertionError, match="only inside its last span"):
        runtime.forward([Span([1], 19, [0])])


@pytest.mark.parametrize(
    "settings",
    [
        EngineSettings(),
        EngineSettings(running=3, prefill_tokens=7, shared_tokens=3),
        EngineSettings(running=2, cache_bytes=1 << 14),
        EngineSettings(speculative_tokens=4),
    ],
)
def test_the_text_does_not_depend_on_the_company(model: torch.nn.Module, settings: EngineSettings) -> None:
    engine = Engine(RecurrentRuntime(model), settings)
    beginning = words(20, 9)
    prompts = [words(n, n) for n in (1, 25)] + [beginning[:12], beginning, [*beginning, 3]]
    tickets = [engine.submit(asked(ids, 6)) for ids in prompts]
    assert [tokens(ticket) for ticket in tickets] == [naive(model, ids, 6) for ids in prompts]
    assert nothing_is_held(engine)


def test_a_conversation_goes_on_from_the_state_that_it_left(model: torch.nn.Module) -> None:
    engine = Engine(RecurrentRuntime(model), EngineSettings())
    first = words(30, 1)
    answer = tokens(engine.submit(asked(first, 10)))
    longer = [*first, *answer, *words(5, 2)]
    ticket = engine.submit(asked(longer, 10))
    assert tokens(ticket) == naive(model, longer, 10)
    assert ticket.reused_tokens == 39  # the last one made was never read
    cut = engine.submit(asked(longer[:20], 4))  # a beginning of what was read is of no use
    assert tokens(cut) == naive(model, longer[:20], 4) and cut.reused_tokens == 0


def test_memory_is_the_same_at_any_length(model: torch.nn.Module) -> None:
    engine = Engine(RecurrentRuntime(model), EngineSettings())
    assert engine.capacity == 1 << 20
    ticket = engine.submit(asked(words(5_000), 3))
    assert len(tokens(ticket)) == 3
    # Numbers of each of two layers, now and before the last span.
    numbers = {
        "lstm": 24 + 24,  # output and cell
        "mamba": 16 * 48 + 3 * 48,  # the state space, and inputs of the convolution
        "mamba2": 16 * 48 + 3 * (48 + 2 * 16),
        "recurrent": 2 * 8 * 12 + 3 * (2 * 16 + 24),  # the heads' memories, and the convolution's inputs
    }
    name = next(name for name, config in CONFIGS.items() if config == model.config)
    assert engine.runtime.block_bytes == 2 * 2 * numbers[name] * 4


def test_a_cancelled_request_leaves_a_state_that_is_what_it_says(model: torch.nn.Module) -> None:
    engine, ids = Engine(RecurrentRuntime(model), EngineSettings(prefill_tokens=8)), words(40, 1)
    ticket = engine.submit(asked(ids, 4))
    engine.step()
    ticket.cancel()
    assert tokens(engine.submit(asked(ids, 4))) == naive(model, ids, 4)
    ticket = engine.submit(asked(ids, 9), on_step=lambda step: ticket.cancel(), on_end=lambda ended: None)
    while engine.step():
        pass
    assert tokens(engine.submit(asked([*ids, 1, 2], 4))) == naive(model, [*ids, 1, 2], 4)


def test_a_pass_that_fails_has_read_nothing(model: torch.nn.Module) -> None:
    runtime, ids = RecurrentRuntime(model), words(10, 1)
    runtime.reserve(1)
    runtime.forward([Span(ids[:4], 0, [0])])
    with pytest.raises(ModelError):
        runtime.forward([Span([10_000], 4, [0])])
    got = runtime.forward([Span(ids[4:], 4, [0], "all")])
    expected = whole(model, ids)[4:]
    np.testing.assert_allclose(got, expected, atol=2e-5 * expected.std(), rtol=0)
