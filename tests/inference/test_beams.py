"""Beam search: exhaustive where beams suffice, equal to a search without a cache, alone or in company."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from shizuku.errors import ConfigError, ModelError
from shizuku.inference.beams import BeamSettings, Hypothesis, score_pairs, search
from shizuku.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from shizuku.models.encoder_decoder import initialise as initialise_transformer
from shizuku.models.lstm_seq2seq import LSTMSeq2Seq, LSTMSeq2SeqConfig, initialise
from shizuku.models.translating import Sources

START, END = 0, 1
SOURCES = [[4, 2, 5, END], [3, END], [2, 2, 4, 5, 3, END], [5, 4, END], [3, 5, 2, 4, END]]


def transformer(vocabulary: int = 6) -> EncoderDecoder:
    config = EncoderDecoderConfig(
        vocab_size=vocabulary, context=16, width=16, encoder_layers=1, decoder_layers=2, heads=2,
        ffn_width=24, tie_embeddings=False,
    )  # fmt: skip
    model = EncoderDecoder(config).eval()
    initialise_transformer(model, 5)
    return model


def lstm(vocabulary: int = 6) -> LSTMSeq2Seq:
    config = LSTMSeq2SeqConfig(
        vocab_size=vocabulary, context=16, width=16, embedding_width=12, layers=2, attention_width=8,
        tie_embeddings=False,
    )  # fmt: skip
    model = LSTMSeq2Seq(config).eval()
    initialise(model, 3)
    with torch.no_grad():  # as if it had learned something
        for parameter in model.parameters():
            parameter.mul_(2.5)
    return model


MODELS = [transformer, lstm]


@torch.no_grad()
def logprobs(model: Any, source: list[int], some: list[tuple[int, ...]]) -> torch.Tensor:
    """Log-probabilities behind each token of targets of one length, all worked out anew."""
    sources = Sources(torch.tensor([source] * len(some)), torch.tensor([len(source)] * len(some)))
    logits = model(torch.tensor([[START, *ids] for ids in some]), sources=sources)
    return torch.log_softmax(logits, -1)


def logprob(model: Any, source: list[int], ids: tuple[int, ...]) -> torch.Tensor:
    """Of one target."""
    return logprobs(model, source, [ids])[0]


def exhaustive(model: Any, source: list[int], settings: BeamSettings, words: tuple[int, ...]) -> Hypothesis:
    """The best of all translations that end within the limit."""
    found = []
    for length in range(settings.limit(len(source), 16)):
        every = list(itertools.product(words, repeat=length))
        for ids, all_TV in zip(every, logprobs(model, source, every), strict=True):
            total = float(sum(all_TV[at, token] for at, token in enumerate((*ids, END))))
            found.append(Hypothesis(ids, total, settings.normalised(total, length + 1), "stop"))
    return max(found, key=lambda one: one.score)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.5])
def test_enough_beams_find_the_best_of_all(make: Callable[[], Any], penalty: float) -> None:
    model, words = make(), (2, 3, 4)
    settings = BeamSettings(beams=40, length_penalty=penalty, max_new_tokens=4)
    found = search(model, SOURCES, settings, start_id=START, end_id=END, banned=[5])
    for source, some in zip(SOURCES, found, strict=True):
        best = exhaustive(model, source, settings, words)
        assert some[0].ids == best.ids
        assert some[0].logprob == pytest.approx(best.logprob, abs=1e-4)
        assert [one.score for one in some] == sorted((one.score for one in some), reverse=True)


def slow(model: Any, source: list[int], settings: BeamSettings) -> Hypothesis:
    """The same search without a cache, one sentence at a time, as it is described."""
    limit = settings.limit(len(source), model.config.context)
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    found: list[Hypothesis] = []
    for length in range(1, limit + 1):
        candidates = []
        for total, ids in live:
            logp_V = logprob(model, source, ids)[-1]
            candidates += [
                (total + float(logp_V[token]), ids, token) for token in range(len(logp_V)) if token != START
            ]
        candidates.sort(key=lambda one: -one[0])
        if length == limit:
            for total, ids, token in candidates:
                if token == END:
                    best_V = logprob(model, source, ids)[-1].clone()
                    best_V[START] = -torch.inf
                    finish: Any = "stop" if int(best_V.argmax()) == END else "length"
                    found.append(Hypothesis(ids, total, settings.normalised(total, length), finish))
            break
        for total, ids, token in candidates[: settings.beams]:
            if token == END:
                found.append(Hypothesis(ids, total, settings.normalised(total, length), "stop"))
        going = [(total, (*ids, token)) for total, ids, token in candidates if token != END]
        live = going[: settings.beams]
        best = max((one.score for one in found), default=-torch.inf)
        if len(found) >= settings.beams or best >= settings.normalised(live[0][0], limit):
            break
    return max(found, key=lambda one: one.score)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("beams", [1, 3])
def test_cached_in_batches_equals_slow_and_alone(make: Callable[[int], Any], beams: int) -> None:
    model, settings = make(12), BeamSettings(beams=beams, max_new_tokens=7)
    expected = [slow(model, source, settings) for source in SOURCES]
    assert len({one.ids for one in expected}) > 1
    for batch_size in (1, 2, 32):
        found = search(model, SOURCES, settings, start_id=START, end_id=END, batch_size=batch_size)
        for one, some in zip(expected, found, strict=True):
            assert (some[0].ids, some[0].finish) == (one.ids, one.finish)
            assert some[0].logprob == pytest.approx(one.logprob, abs=1e-4)


def test_one_beam_always_takes_the_best_token() -> None:
    model, settings = transformer(12), BeamSettings(beams=1, max_new_tokens=6)
    for source, some in zip(
        SOURCES, search(model, SOURCES, settings, start_id=START, end_id=END), strict=True
    ):
        ids = some[0].ids
        written = (*ids, END) if some[0].finish == "stop" else ids
        best = logprob(model, source, ids)
        best[:, START] = -torch.inf
        assert tuple(best.argmax(-1)[: len(written)].tolist()) == written


@pytest.mark.parametrize(
    "settings, match",
    [({"beams": 0}, "--beams"), ({"length_penalty": -1.0}, "--length"), ({"max_new_tokens": 0}, "--max-new")],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        BeamSettings(**settings)


@pytest.mark.parametrize("make", MODELS)
def test_damaged_weights_are_told_of_and_not_searched(make: Callable[[], Any]) -> None:
    model = make()
    with torch.no_grad():
        model.embedding.weight[2] = torch.nan
    with pytest.raises(ModelError, match="NaN"):
        search(model, [[2, 3, END]], BeamSettings(), start_id=START, end_id=END)
    sources = Sources(torch.tensor([[2, END]]), torch.tensor([2]))
    with pytest.raises(ModelError, match="NaN"):
        score_pairs(model, sources, torch.tensor([[START]]), torch.tensor([[END]]))


@pytest.mark.parametrize(
    "settings", [{"length_penalty": float("inf")}, {"length_penalty": float("nan")}, {"beams": True}]
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected a"):
        BeamSettings(**settings)
