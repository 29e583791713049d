"""Scores against whole logits computed naively."""

import numpy as np
import pytest
import torch

from shizuku.errors import ModelError
from shizuku.inference import scoring
from shizuku.inference.engine import Engine, EngineSettings
from shizuku.inference.scoring import Passage, score_passages, score_sequences
from shizuku.inference.torch_runtime import TorchRuntime
from shizuku.inference.validation import one_sequence
from tiny_language_model import tiny_model


def tiny_engine(**settings: int) -> Engine:
    return Engine(TorchRuntime(tiny_model()), EngineSettings(**settings))


def passages(lengths: list[int], seed: int = 1) -> list[Passage]:
    generator = torch.Generator().manual_seed(seed)
    return [Passage(torch.randint(0, 400, (n,), generator=generator).tolist(), 1 + n // 3) for n in lengths]


def naive(model: torch.nn.Module, passage: Passage) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        logprobs_TV = model(torch.tensor([passage.ids]))[0].log_softmax(-1)
    targets = torch.tensor(passage.ids[passage.first :])
    before = logprobs_TV[passage.first - 1 : -1]
    return before.gather(-1, targets[:, None])[:, 0], before.argmax(-1) == targets


@pytest.mark.parametrize("pass_tokens", [1, 50, 4096])
@pytest.mark.parametrize("logits_at_once", [1, 2000, 16_000_000])
def test_any_grouping_equals_naive_logits(
    pass_tokens: int, logits_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "PASS_TOKENS", pass_tokens)
    monkeypatch.setattr(scoring, "LOGITS_AT_ONCE", logits_at_once)
    model, asked = tiny_model(), passages([5, 40, 2, 17, 17, 90, 120])
    asked += [Passage(asked[-1].ids, 119), Passage(asked[-1].ids, 120)]
    engine = tiny_engine()
    for passage, found in zip(asked, score_passages(engine, asked), strict=True):
        wanted, greedy = naive(model, passage)
        np.testing.assert_allclose(found.logprobs_N, wanted, atol=2e-5, rtol=1e-5)
        assert np.array_equal(found.greedy_N, greedy)
        assert found.logprobs_N.dtype == np.float32
        assert len(found.logprobs_N) == 0 or float(found.logprobs_N.max()) <= 0
    assert engine.statistics().blocks_used == 0


def test_greedy_marks_the_best_token() -> None:
    model = tiny_model()
    ids = [3, 9]
    for _ in range(5):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    good, bad = score_sequences(
        tiny_engine(), [ids[2:], [*ids[2:-1], 1]], prefixes=[ids[:2]] * 2, context=128
    )
    assert good.is_greedy is True
    assert bad.is_greedy is (ids[-1] == 1)


def test_the_first_token_without_a_prefix_is_left_out() -> None:
    without, behind = score_sequences(tiny_engine(), [[5, 6, 7], [5, 6, 7]], prefixes=[[], [1]], context=128)
    assert (without.unscored, without.token_ids, len(without.token_logprobs)) == (1, (6, 7), 2)
    assert (behind.unscored, behind.token_ids, len(behind.token_logprobs)) == (0, (5, 6, 7), 3)
    lone = score_sequences(tiny_engine(), [[5]], prefixes=[[]], context=128)[0]
    assert (len(lone.token_logprobs), lone.logprob) == (0, 0.0)


def test_a_text_that_has_no_room_in_the_cache_says_so() -> None:
    engine = tiny_engine(cache_tokens=32)
    with pytest.raises(ModelError, match=r"48 tokens don't fit into the cache.*--cache-tokens"):
        score_passages(engine, passages([40]))
    assert len(score_passages(engine, passages([20]))[0].logprobs_N) == 13


def test_too_long_and_empty_texts_are_named() -> None:
    with pytest.raises(ModelError, match=r"text 1 has 129 tokens.*context length is 128.*shizuku eval"):
        score_sequences(tiny_engine(), [[1], [1] * 128], prefixes=[[2], [2]], context=128)
    with pytest.raises(ModelError, match="text 0 is empty"):
        score_sequences(tiny_engine(), [[]], prefixes=[[2]], context=128)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (torch.tensor([[1, 2, 0], [1, 2, 3]]), r"tensor of shape \(2, 3\).*-1 where there is padding"),
        ([[1, 2], [3]], "list of lists"),
        ([1, 2.5], "2.5"),
    ],
)
def test_batches_and_padding_are_refused_with_the_reason(given: object, seen: str) -> None:
    with pytest.raises(ModelError, match=seen):
        one_sequence(given)  # type: ignore[arg-type]


def test_one_sequence_takes_lists_and_vectors() -> None:
    assert one_sequence((1, 2)) == one_sequence(torch.tensor([1, 2])) == [1, 2]
