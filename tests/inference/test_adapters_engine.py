"""The engine gives each request its own adapter: what comes out, what the cache shares, what is refused."""

from dataclasses import replace
from functools import cache

import pytest
from company import packed
from engine_models import GREEDY, SAMPLED, asked, micro, naive, nothing_is_held, tokens, words

from random_adapters import folded, random_adapter
from shizuku.adapters.surgery import activate, put_weights
from shizuku.adapters.weights import AdapterWeights
from shizuku.errors import ConfigError, ModelError
from shizuku.inference.engine import Engine, EngineSettings, Step
from shizuku.inference.native import NativeRuntime
from shizuku.inference.runtime import Runtime
from shizuku.inference.speculation import DraftModel
from shizuku.inference.torch_runtime import TorchRuntime

NAMES = (None, "a", "b")


@cache
def weights(name: str) -> AdapterWeights:
    return random_adapter(micro().config, seed=ord(name), rank=4, size=0.5)


def native(kind: str = "f32") -> NativeRuntime:
    model = micro()
    return NativeRuntime(model.config, packed(model, kind), threads=2, cache="f32")  # type: ignore[arg-type]


def by_torch() -> TorchRuntime:
    return TorchRuntime(micro(), block_tokens=8)


RUNTIMES = {"native": native, "torch": by_torch}


def engine_with_two(runtime: Runtime, **settings: int) -> Engine:
    engine = Engine(runtime, EngineSettings(**settings))
    for name in NAMES[1:]:
        engine.add_adapter(name, weights(name))
    assert engine.adapters == ("a", "b")
    return engine


def model_of(adapter: str | None):
    return micro() if adapter is None else folded(micro(), weights(adapter))


@pytest.mark.parametrize("kind", RUNTIMES)
def test_each_request_gets_the_tokens_of_its_folded_model(kind: str) -> None:
    engine = engine_with_two(RUNTIMES[kind](), shared_tokens=9)
    prompts = [words(20 + n, n) for n in range(6)]
    tickets = [engine.submit(asked(p, 8, adapter=NAMES[n % 3])) for n, p in enumerate(prompts)]
    found = [tokens(ticket) for ticket in tickets]
    assert found == [naive(model_of(NAMES[n % 3]), p, 8) for n, p in enumerate(prompts)]
    assert nothing_is_held(engine)


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_natively_the_answers_have_the_same_bits_in_any_company(kind: str) -> None:
    prompts = [words(3 + 5 * n % 70, n % 4) for n in range(9)]

    def request(n: int):
        sampling = (GREEDY, SAMPLED)[n % 2]
        return asked(prompts[n], 16, sampling=sampling, index=n, logprobs=2, adapter=NAMES[n % 3])

    def answers(order: list[int], **settings: int) -> dict[int, list[Step]]:
        engine = engine_with_two(runtime := native(kind), **settings)
        assert runtime.company_matters is False
        tickets = {n: engine.submit(request(n)) for n in order}
        found = {n: list(ticket) for n, ticket in tickets.items()}
        assert nothing_is_held(engine)
        return found

    alone = {n: answers([n])[n] for n in range(9)}
    plain = Engine(native(kind))  # never had an adapter
    assert all(list(plain.submit(request(n))) == alone[n] for n in range(0, 9, 3))
    for settings in (
        {"running": 12},
        {"running": 3, "prefill_tokens": 7, "shared_tokens": 3},
        {"running": 12, "cache_tokens": 256, "shared_tokens": 30},
        {"running": 4, "speculative_tokens": 4},
    ):
        assert answers([*range(9)][::-1], **settings) == alone, settings


@pytest.mark.parametrize("kind", RUNTIMES)
def test_the_cache_is_shared_under_one_adapter_and_never_between_two(kind: str) -> None:
    engine = engine_with_two(RUNTIMES[kind]())
    size = engine.runtime.block_tokens
    prompt = words(3 * size + 2)
    for adapter in NAMES:
        first = engine.submit(asked(prompt, 4, adapter=adapter))
        expected = tokens(first)
        assert first.reused_tokens == 0, f"{adapter} took over what another has computed"
        again = engine.submit(asked(prompt, 4, adapter=adapter))
        assert tokens(again) == expected == naive(model_of(adapter), prompt, 4)
        assert again.reused_tokens == len(prompt) - 1


def test_requests_that_come_together_wait_only_for_a_prompt_of_their_own_adapter() -> None:
    engine = engine_with_two(by_torch())
    prompt = words(40)
    tickets = [engine.submit(asked([*prompt, n], 3, adapter=NAMES[n % 3])) for n in range(6)]
    found = [tokens(ticket) for ticket in tickets]
    assert found == [naive(model_of(NAMES[n % 3]), [*prompt, n], 3) for n in range(6)]
    assert [ticket.reused_tokens for ticket in tickets] == [0, 0, 0, 40, 40, 40]


def test_numbers_that_differ_in_one_place_share_nothing() -> None:
    engine = engine_with_two(by_torch())
    twin = random_adapter(micro().config, seed=ord("a"), rank=4, size=0.5)
    engine.add_adapter("the same numbers", twin)
    changed = random_adapter(micro().config, seed=ord("a"), rank=4, size=0.5)
    changed.layers["blocks.1.feedforward.down"].b_OR[0, 0] += 1e-3
    engine.add_adapter("others", changed)
    prompt = words(30)
    list(engine.submit(asked(prompt, 2, adapter="a")))
    same = engine.submit(asked(prompt, 2, adapter="the same numbers"))
    other = engine.submit(asked(prompt, 2, adapter="others"))
    assert (list(same), list(other)) and (same.reused_tokens, other.reused_tokens) == (29, 0)


def test_a_draft_model_guesses_for_adapters_too_and_changes_nothing() -> None:
    runtime = by_torch()
    guesser = DraftModel(TorchRuntime(micro()), target=runtime)
    engine = Engine(runtime, EngineSettings(speculative_tokens=4), guesser=guesser)
    engine.add_adapter("a", weights("a"))
    prompt = words(12)
    found = [tokens(engine.submit(asked(prompt, 12, adapter=name))) for name in (None, "a")]
    assert found == [naive(model_of(name), prompt, 12) for name in (None, "a")]
    assert engine.statistics().right_guesses > 0


def test_an_adapter_joins_while_others_are_being_served() -> None:
    engine = Engine(native())
    engine.start()
    try:
        running = engine.submit(asked(words(5), 200))
        engine.add_adapter("a", weights("a"))
        ticket = engine.submit(asked(words(9), 6, adapter="a"))
        assert tokens(ticket) == naive(model_of("a"), words(9), 6)
        assert tokens(running) == naive(micro(), words(5), 200)
    finally:
        engine.close()


@pytest.mark.parametrize("kind", RUNTIMES)
def test_unknown_names_and_unfitting_adapters_are_refused_and_harm_nobody(kind: str) -> None:
    engine = engine_with_two(RUNTIMES[kind]())
    with pytest.raises(ConfigError, match=r"no adapter 'c' on this model \(there: 'a', 'b'\)"):
        engine.submit(asked(words(4), adapter="c"))
    with pytest.raises(ConfigError, match="'a' on this model already"):
        engine.add_adapter("a", weights("a"))
    other = random_adapter(replace(micro().config, width=64))
    with pytest.raises(ModelError, match="for another base"):
        engine.add_adapter("c", other)
    assert engine.adapters == ("a", "b")
    assert tokens(engine.submit(asked(words(4), 3, adapter="a"))) == naive(model_of("a"), words(4), 3)


def test_an_adapter_that_is_switched_on_the_model_itself_is_noticed() -> None:
    model = micro()
    put_weights(model, weights("a"), name="own")
    engine, prompt = Engine(TorchRuntime(model, block_tokens=8)), words(30)
    for acting in ("own", None, "own"):
        activate(model, acting)
        expected = naive(model_of("a" if acting else None), prompt, 4)
        assert tokens(engine.submit(asked(prompt, 4))) == expected


def test_a_runtime_without_adapters_says_so() -> None:
    class Bare:
        context, vocab_size, block_tokens, block_bytes, blocks, company_matters = 64, 9, 8, 1, 0, False

        def reserve(self, blocks: int) -> None: ...
        def copy_block(self, source: int, target: int) -> None: ...
        def forward(self, spans): ...
        def hidden(self, spans): ...

    engine = Engine(Bare())
    assert engine.adapters == ()
    with pytest.raises(ConfigError, match="can have no adapters"):
        engine.add_adapter("a", weights("a"))
    with pytest.raises(ConfigError, match=r"no adapter 'a' on this model \(there: none\)"):
        engine.submit(asked([1, 2], adapter="a"))
