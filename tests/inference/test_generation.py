"""Generation with small random decoders: what a prompt gives does not depend on its company."""

import gc
import itertools

import numpy as np
import pytest
import torch

from shizuku.errors import ConfigError, ModelError
from shizuku.inference.engine import Engine, EngineSettings
from shizuku.inference.generation import generate
from shizuku.inference.requests import Step
from shizuku.inference.sampling import SamplingConfig
from shizuku.inference.torch_runtime import TorchRuntime
from shizuku.models.decoder import Decoder, DecoderConfig

GREEDY = SamplingConfig(temperature=0.0)
SAMPLED = SamplingConfig(temperature=1.0, top_p=0.95, seed=11)
SHAPES = {
    "rotary": {},
    "learned": {"positions": "learned", "norm": "layernorm"},
    "windowed": {"sliding_window": 6, "sliding_layers": (True, False), "qk_norm": True},
}


def tiny(shape: str = "rotary", *, seed: int = 0, context: int = 64) -> Decoder:
    """A decoder whose every weight is random at a gain that makes its best tokens vary."""
    config = DecoderConfig(
        vocab_size=97, context=context, width=32, layers=2, heads=4, kv_heads=2, ffn_width=48, **SHAPES[shape]
    )
    model = Decoder(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter.shape[-1] if parameter.dim() > 1 else 1
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 1.5 / fan_in**0.5 if parameter.dim() > 1 else 1 + 0.3 * noise)
    return model


def engine_of(model: Decoder, **settings: int) -> Engine:
    return Engine(TorchRuntime(model), EngineSettings(**settings))


def prompts(lengths: list[int], seed: int = 5) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 97, (n,), generator=generator).tolist() for n in lengths]


def tokens(steps: list[Step]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for step in steps:
        found.setdefault(step.index, []).append(step.token_id)
    return found


def reference_greedy(model: Decoder, prompt: list[int], count: int) -> list[int]:
    """The naive loop: the whole sequence again for each token, no state."""
    ids = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_equals_the_naive_loop_without_state(shape: str) -> None:
    model, batch = tiny(shape), prompts([1, 7, 3, 12, 12])
    found = tokens(list(generate(engine_of(model), batch, sampling=GREEDY, max_new_tokens=20)))
    for index, prompt in enumerate(batch):
        assert found[index] == reference_greedy(model, prompt, 20)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("chunk", [512, 5])
def test_any_batch_gives_what_each_prompt_gives_alone(shape: str, chunk: int) -> None:
    model, batch = tiny(shape), prompts([13, 2, 8, 1, 30, 8])
    engine = engine_of(model, prefill_tokens=chunk, shared_tokens=chunk)
    for sampling in (GREEDY, SAMPLED):
        together = tokens(list(generate(engine, batch, sampling=sampling, max_new_tokens=16)))
        for index, prompt in enumerate(batch):
            fresh = engine_of(model)
            alone = generate(fresh, [prompt], sampling=sampling, max_new_tokens=16, indices=[index])
            assert tokens(list(alone))[index] == together[index]


def test_the_order_of_a_batch_does_not_matter_to_greedy() -> None:
    model, batch = tiny(), prompts([9, 4, 17])
    found = tokens(list(generate(engine_of(model), batch, sampling=GREEDY, max_new_tokens=12)))
    turned = tokens(list(generate(engine_of(model), batch[::-1], sampling=GREEDY, max_new_tokens=12)))
    assert [found[i] for i in range(3)] == [turned[i] for i in (2, 1, 0)]


def test_logprobs_of_batched_and_single_prompts_agree_in_float64() -> None:
    model, batch = tiny().double(), prompts([13, 2, 8])
    together = list(generate(engine_of(model), batch, sampling=GREEDY, max_new_tokens=8, logprobs=3))
    for index, prompt in enumerate(batch):
        alone = list(generate(engine_of(model), [prompt], sampling=GREEDY, max_new_tokens=8, logprobs=3))
        for one, other in zip(alone, [s for s in together if s.index == index], strict=True):
            # Computed in float64, told in float32: what is left is the rounding of a logit of about 10.
            assert one.logprob == pytest.approx(other.logprob, abs=2e-6)
            assert [token for token, _ in one.top] == [token for token, _ in other.top]


def test_stop_ids_end_a_sequence_and_the_others_go_on() -> None:
    engine, batch = engine_of(tiny()), prompts([6, 3, 10, 5])
    free = tokens(list(generate(engine, batch, sampling=GREEDY, max_new_tokens=15)))
    stop = free[1][4]
    steps = list(generate(engine, batch, sampling=GREEDY, max_new_tokens=15, stop_ids=frozenset({stop})))
    ended = tokens(steps)
    for index, whole in free.items():
        cut = whole.index(stop) + 1 if stop in whole else len(whole)
        assert ended[index] == whole[:cut]
        last = [step for step in steps if step.index == index][-1]
        assert last.finish == ("stop" if stop in whole else "length")
    assert sum(step.finish is not None for step in steps) == len(batch)


def test_finished_rows_leave_the_batch() -> None:
    model, batch = tiny(), prompts([6, 3, 12])
    widths: list[int] = []
    hidden = model.hidden
    model.hidden = lambda ids_BT, **rest: (widths.append(ids_BT.shape[0]), hidden(ids_BT, **rest))[1]  # type: ignore
    engine = engine_of(model)
    steps = generate(engine, batch, sampling=GREEDY, max_new_tokens=4)
    for step in steps:
        steps.finish(0)
        if step.index == 2 and widths[-1] == 2:
            steps.finish(2)
    assert widths == [1, 1, 1, 2, 1, 1], "three prompts of three lengths, then two rows, then one"
    assert engine.statistics().blocks_used == 0


def test_closing_the_iterator_cancels() -> None:
    steps = generate(engine_of(tiny()), prompts([4, 5]), sampling=GREEDY, max_new_tokens=20)
    assert len(list(itertools.islice(steps, 3))) == 3
    steps.close()
    assert list(steps) == []


def test_logprobs_are_those_of_the_model_before_any_warping() -> None:
    model, prompt = tiny(), prompts([6])[0]
    warped = SamplingConfig(temperature=0.7, top_k=4, repetition_penalty=1.3, seed=3)
    ids = list(prompt)
    for step in generate(engine_of(model), [prompt], sampling=warped, max_new_tokens=10, logprobs=5):
        with torch.no_grad():
            logprobs_V = model(torch.tensor([ids]))[0, -1].log_softmax(-1)
        assert step.logprob == pytest.approx(float(logprobs_V[step.token_id]), abs=1e-4)
        values, best = logprobs_V.topk(5)
        assert [token for token, _ in step.top] == best.tolist()
        assert [value for _, value in step.top] == pytest.approx(values.tolist(), abs=1e-4)
        ids.append(step.token_id)


def test_processors_see_prompt_and_continuation_of_their_own_sequence() -> None:
    batch = prompts([4, 6])
    seen: list[list[int]] = []

    def only_even(ids, logits_V):  # type: ignore[no-untyped-def]
        seen.append(list(ids))
        return np.where(np.arange(97) % 2 == 1, -np.inf, logits_V).astype(np.float32)

    steps = list(
        generate(engine_of(tiny()), batch, sampling=SAMPLED, max_new_tokens=3, processors=[only_even])
    )
    assert all(step.token_id % 2 == 0 for step in steps)
    found = tokens(steps)
    wanted = [batch[row] + found[row][:n] for n in range(3) for row in range(2)]
    assert seen == wanted


def test_repetition_penalty_counts_the_prompt() -> None:
    prompt = prompts([5])[0]
    forbidding = SamplingConfig(temperature=0.0, repetition_penalty=1e6)
    found = tokens(list(generate(engine_of(tiny()), [prompt], sampling=forbidding, max_new_tokens=30)))[0]
    assert len(set(found + prompt)) == 35, "a huge penalty never repeats while a positive logit is left"


def test_the_same_seed_repeats_and_another_differs() -> None:
    def run(seed: int) -> dict[int, list[int]]:
        config = SamplingConfig(seed=seed)
        steps = generate(engine_of(tiny()), prompts([4, 4]), sampling=config, max_new_tokens=12)
        return tokens(list(steps))

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_generating_leaves_the_model_trainable_and_the_mode_off() -> None:
    model = tiny()
    steps = generate(engine_of(model), prompts([4]), sampling=GREEDY, max_new_tokens=3)
    next(steps)
    assert not torch.is_inference_mode_enabled(), "a step taken must not switch the caller's autograd off"
    model(torch.tensor([[1, 2, 3]])).sum().backward()


def test_the_whole_context_can_be_used_and_not_one_token_more() -> None:
    engine, prompt = engine_of(tiny(context=16)), prompts([6])[0]
    assert len(list(generate(engine, [prompt], sampling=GREEDY, max_new_tokens=10))) == 10
    with pytest.raises(ConfigError, match=r"--max-new-tokens 11: .*context length 16; at most 10 fit"):
        generate(engine, [prompt], sampling=GREEDY, max_new_tokens=11)
    with pytest.raises(ModelError, match=r"prompt 1 has 17 tokens, the context length is 16.*--prompt"):
        generate(engine, [prompt, prompts([17])[0]], sampling=GREEDY, max_new_tokens=0)


def test_no_new_tokens_is_no_steps() -> None:
    assert list(generate(engine_of(tiny()), prompts([4]), sampling=GREEDY, max_new_tokens=0)) == []


def test_bad_prompts_and_limits_are_named() -> None:
    engine = engine_of(tiny())
    with pytest.raises(ModelError, match="prompt 0 is empty"):
        generate(engine, [[]], sampling=GREEDY, max_new_tokens=1)
    with pytest.raises(ModelError, match="prompt 1: token id 97 is not one of the model's 0 to 96"):
        generate(engine, [[1], [97]], sampling=GREEDY, max_new_tokens=1)
    with pytest.raises(ConfigError, match="--max-new-tokens -1: expected a whole number"):
        generate(engine, [[1]], sampling=GREEDY, max_new_tokens=-1)
    with pytest.raises(ConfigError, match="--logprobs 98: expected 0 to 97"):
        generate(engine, [[1]], sampling=GREEDY, max_new_tokens=1, logprobs=98)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_conversation_reads_again_only_what_is_new(shape: str) -> None:
    model = tiny(shape)
    engine, read = engine_of(model), [0]
    first, other = prompts([9, 5])
    prompt, asked = first, {"sampling": SAMPLED, "max_new_tokens": 6}
    for turn in range(4):
        found = tokens(list(generate(engine, [prompt], **asked)))[0]
        assert found == tokens(list(generate(engine_of(model), [prompt], **asked)))[0]
        read.append(engine.statistics().prompt_tokens)
        assert read[-1] - read[-2] == (9 if turn == 0 else 6), "five of a turn, and one that was never fed"
        prompt = [*prompt, *found, *other]
    branch = [first[:4] + other]
    assert (
        tokens(list(generate(engine, branch, **asked)))[0]
        == tokens(list(generate(engine_of(model), branch, **asked)))[0]
    ), "a conversation that turns off earlier"
    assert engine.statistics().prompt_tokens - read[-1] == 5


def test_a_cancelled_generation_leaves_blocks_that_fit() -> None:
    model, prompt = tiny(), prompts([9])[0]
    engine = engine_of(model)
    for count in (1, 3):
        steps = generate(engine, [prompt], sampling=GREEDY, max_new_tokens=6)
        some = [step.token_id for step in itertools.islice(steps, count)]
        steps.close()
        assert engine.statistics().blocks_used == 0
        found = list(generate(engine, [[*prompt, *some, 7]], sampling=GREEDY, max_new_tokens=5))
        assert [s.token_id for s in found] == reference_greedy(model, [*prompt, *some, 7], 5)


def test_weights_that_change_make_the_cache_stale() -> None:
    model, prompt = tiny(), prompts([40])[0]
    engine = engine_of(model)
    list(generate(engine, [prompt], sampling=GREEDY, max_new_tokens=8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.7)
    found = list(generate(engine, [prompt], sampling=GREEDY, max_new_tokens=8))
    assert [s.token_id for s in found] == reference_greedy(model, prompt, 8)
    assert engine.statistics().reused_tokens == 0


def test_a_generation_that_nobody_holds_gives_its_blocks_back() -> None:
    engine = engine_of(tiny())
    steps = generate(engine, prompts([30, 20]), sampling=GREEDY, max_new_tokens=20)
    next(steps)
    assert engine.statistics().blocks_used > 0
    del steps
    gc.collect()
    assert (engine.statistics().blocks_used, engine.statistics().running) == (0, 0)


def test_a_long_list_is_worked_on_in_part_at_a_time() -> None:
    model, batch = tiny(), prompts([5, 30, 3, 12, 7, 20, 1])
    engine = engine_of(model)
    steps = generate(engine, batch, sampling=GREEDY, max_new_tokens=[4, 20, 0, 7, 1, 12, 9], at_once=3)
    found: dict[int, list[int]] = {}
    for step in steps:
        found.setdefault(step.index, []).append(step.token_id)
        assert engine.statistics().running <= 3
    for index, limit in enumerate([4, 20, 0, 7, 1, 12, 9]):
        assert found.get(index, []) == reference_greedy(model, batch[index], limit)
