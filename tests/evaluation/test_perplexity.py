"""Perplexity over windows against brute force."""

import math

import numpy as np
import pytest
import torch

from shizuku.errors import ConfigError, DocumentError
from shizuku.evaluation import perplexity
from shizuku.evaluation.perplexity import bits_per_byte_of, evaluate_text, windows
from shizuku.language_model import LanguageModel
from tiny_language_model import bare_lm, tiny_lm

TEXT = "The cat sat on the mat and looked at the rain. 雨が降っています。A boat went over the lake. " * 4


def brute_force(lm: LanguageModel, text: str, window: int) -> float:
    """Nats with each token behind the longest context that the window allows, one forward pass a token."""
    start = lm.tokenizer.document_start_id
    ids = [*([] if start is None else [start]), *lm.tokenizer.encode(text)]
    nats = 0.0
    for place in range(1, len(ids)):
        logits_TV = torch.from_numpy(lm.logits(ids[max(0, place + 1 - window) : place]))
        nats -= float(logits_TV[-1].log_softmax(-1)[ids[place]])
    return nats


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 12, 13, 50])
@pytest.mark.parametrize(("window", "stride"), [(8, 4), (8, 1), (8, 7), (5, 2), (64, 32)])
def test_windows_score_every_token_but_the_first_exactly_once(length: int, window: int, stride: int) -> None:
    ids = list(range(length))
    scored = []
    for span in windows(ids, window, stride):
        assert 1 <= span.first < len(span.ids) <= window
        scored += span.ids[span.first :]
        if span.ids[0] != 0:
            assert span.first >= window - stride, "later windows keep the promised context"
    assert scored == ids[1:]


@pytest.mark.parametrize("tokens_at_once", [10, 100_000])
def test_stride_one_equals_brute_force(tokens_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perplexity, "TOKENS_AT_ONCE", tokens_at_once)
    lm = tiny_lm()
    found = evaluate_text(lm, TEXT, window=16, stride=1)
    nats = brute_force(lm, TEXT, 16)
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.tokens == len(lm.tokenizer.encode(TEXT))
    assert found.bytes == len(TEXT.encode())
    assert found.perplexity == pytest.approx(math.exp(nats / found.tokens), rel=1e-5)
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / len(TEXT.encode()), rel=1e-5)


def test_any_stride_scores_the_same_tokens() -> None:
    lm = tiny_lm()
    found = [evaluate_text(lm, TEXT, window=16, stride=stride) for stride in (1, 3, 8, 15)]
    assert len({(one.tokens, one.bytes, one.documents) for one in found}) == 1
    assert len({round(one.nats, 3) for one in found}) == 4, "and the context that they had does differ"


def test_documents_are_scored_by_themselves() -> None:
    lm = tiny_lm()
    texts = [TEXT, "A", "", "The baker opens his shop."]
    together = evaluate_text(lm, texts, window=16)
    alone = [evaluate_text(lm, text, window=16) for text in texts if text]
    assert together.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-6)
    assert together.tokens == sum(one.tokens for one in alone)
    assert together.bytes == sum(len(text.encode()) for text in texts)
    assert together.documents == 3


def test_without_a_start_token_first_tokens_and_their_bytes_are_left_out() -> None:
    lm = bare_lm()
    texts = [TEXT, "The baker opens his shop."]
    found = evaluate_text(lm, texts, window=16, stride=1)
    first = [len(lm.tokenizer.token_bytes(lm.tokenizer.encode(text)[0])) for text in texts]
    assert found.unscored_tokens == 2
    assert found.bytes == sum(len(text.encode()) for text in texts) - sum(first)
    assert found.nats == pytest.approx(sum(brute_force(lm, text, 16) for text in texts), rel=1e-5)


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary() -> None:
    lm = tiny_lm()
    with torch.no_grad():
        lm.model.embedding.weight.zero_()
    found = evaluate_text(lm, TEXT)
    assert found.perplexity == pytest.approx(lm.model.config.vocab_size, rel=1e-5)


def test_defaults_are_the_context_and_half_of_it() -> None:
    found = evaluate_text(tiny_lm(context=128), TEXT)
    assert (found.window, found.stride) == (128, 64)


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        (129, None, "--window 129: expected 2 up to the model's context length 128"),
        (1, None, "--window 1: expected"),
        (16, 16, "--stride 16: expected 1 to 15"),
        (16, 0, "--stride 0: expected 1 to 15"),
    ],
)
def test_windows_that_do_not_fit_are_named(window: int, stride: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate_text(tiny_lm(), TEXT, window=window, stride=stride)


@pytest.mark.parametrize("documents", ["", [], ["", ""]])
def test_nothing_to_score_is_an_error(documents: object) -> None:
    with pytest.raises(DocumentError, match=r"nothing to score.*--text"):
        evaluate_text(tiny_lm(), documents)  # type: ignore[arg-type]


def test_each_document_has_its_share_and_two_models_are_compared_on_them() -> None:
    texts, lm = ["The cat sat.", "雨が降っています。", TEXT], tiny_lm()
    found, alone = evaluate_text(lm, texts, window=16), [evaluate_text(lm, t, window=16) for t in texts]
    assert found.of_documents == pytest.approx(np.array([[one.nats, one.bytes] for one in alone]), rel=1e-5)
    assert bits_per_byte_of(lm, texts[:2]) == pytest.approx(
        [one.bits_per_byte for one in alone[:2]], rel=1e-5
    )
    other = evaluate_text(tiny_lm(seed=1), texts, window=16)
    saved = found.less_than(other)
    assert saved.mean == pytest.approx(other.bits_per_byte - found.bits_per_byte, rel=1e-9)
    assert saved.low <= saved.mean <= saved.high and saved.items == 3
    with pytest.raises(ConfigError, match="the same documents"):
        found.less_than(alone[0])
