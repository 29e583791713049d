"""Encoders behind the face: hidden tokens, pseudo-likelihoods, vectors, and what they refuse."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from shizuku import load
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.errors import CheckpointError, ConfigError, ModelError
from shizuku.evaluation import pseudo_perplexity
from shizuku.language_model import LanguageModel
from shizuku.models.architectures import require
from shizuku.models.encoder import Encoder, EncoderConfig, initialise
from shizuku.progress import Bar
from shizuku.text.tokenizer import Tokenizer

TEXTS = [
    "the cat sat on the mat",
    "a dog",
    "the dog and the cat sat",
    "on a mat the cat and a dog sat on the cat",
]


def encoder(**changed: object) -> LanguageModel:
    """A small encoder with random weights, whose vocabulary is that of TEXTS."""
    tokenizer = Tokenizer.train(TEXTS * 3, 31, kind="wordpiece")
    sizes = {"context": 32, "width": 24, "layers": 2, "heads": 2, "ffn_width": 48}
    model = Encoder(EncoderConfig(vocab_size=tokenizer.vocab_size, **{**sizes, **changed}))
    initialise(model, 1)
    with torch.no_grad():
        model.embedding.weight.mul_(20)
    return LanguageModel(model, tokenizer)


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return encoder()


def test_logits_are_those_of_what_stands_at_each_token(lm: LanguageModel) -> None:
    ids = [lm.tokenizer.cls_id, *lm.tokenizer.encode(TEXTS[0]), lm.tokenizer.sep_id]
    with torch.no_grad():
        expected = lm.model(torch.tensor([ids]))[0].numpy()
    np.testing.assert_allclose(lm.logits(ids), expected, atol=1e-6)


def test_scores_are_pseudo_log_likelihoods_whatever_the_company(lm: LanguageModel) -> None:
    cls, sep, mask = lm.tokenizer.cls_id, lm.tokenizer.sep_id, lm.tokenizer.mask_id
    found = lm.score(TEXTS, contexts=["", "", "a mat", ""])
    for text, context, score in zip(TEXTS, ("", "", "a mat", ""), found, strict=True):
        ids, before = lm.tokenizer.encode(text), [cls, *lm.tokenizer.encode(context)]
        for place, token in enumerate(ids):
            hidden = [*before, *ids[:place], mask, *ids[place + 1 :], sep]
            with torch.no_grad():
                row = lm.model(torch.tensor([hidden]))[0, len(before) + place].log_softmax(-1)
            assert math.isclose(score.token_logprobs[place], float(row[token]), abs_tol=1e-5)
        assert score.token_ids == tuple(ids)
    alone = lm.score([TEXTS[1]])[0]
    np.testing.assert_allclose(alone.token_logprobs, found[1].token_logprobs, atol=1e-5)


def test_vectors_are_means_of_length_one_whatever_the_company(lm: LanguageModel) -> None:
    vectors_ND = lm.embed(TEXTS)
    assert vectors_ND.dtype == np.float32 and vectors_ND.shape == (4, 24)
    np.testing.assert_allclose(np.linalg.norm(vectors_ND, axis=1), 1, atol=1e-6)
    for text, vector_D in zip(TEXTS, vectors_ND, strict=True):
        ids = [lm.tokenizer.cls_id, *lm.tokenizer.encode(text), lm.tokenizer.sep_id]
        with torch.no_grad():
            x_TD = lm.model.hidden(torch.tensor([ids]))[0]
        for pooling, expected_D in (("mean", x_TD.mean(0)), ("first", x_TD[0])):
            found_D = lm.embed([ids], pooling=pooling)[0]
            np.testing.assert_allclose(found_D, expected_D / expected_D.norm(), atol=1e-6)
        np.testing.assert_allclose(lm.embed([ids])[0], vector_D, atol=1e-6)


@pytest.mark.parametrize(
    "ask",
    [
        lambda lm: lm.generate("the cat"),
        lambda lm: next(iter(lm.stream("the cat"))),
        lambda lm: lm.chat([{"role": "user", "content": "hello"}]),
        lambda lm: lm.request([1, 2]),
    ],
)
def test_what_would_continue_a_text_is_refused(lm: LanguageModel, ask) -> None:
    with pytest.raises(ModelError, match=r"cannot continue texts.*fill in masked tokens"):
        ask(lm)
    assert not {"generate", "chat"} & lm.capabilities and {"score", "embed"} <= lm.capabilities


def test_what_does_not_fit_is_refused(lm: LanguageModel) -> None:
    long = " ".join(TEXTS * 3)
    with pytest.raises(ModelError, match="context length is 32"):
        lm.score([long])
    with pytest.raises(ModelError, match=r"context length is 32: shorten it$"):
        lm.embed([long])
    with pytest.raises(ModelError, match="is empty"):
        lm.score([""])
    with pytest.raises(ConfigError, match="list of texts"):
        lm.embed("the cat")
    headless = encoder(mask_head=False)
    assert headless.embed(["the cat"]).shape == (1, 24)
    with pytest.raises(ModelError, match="no mask head"):
        headless.score(["the cat"])


def test_a_directory_says_how_vectors_are_pooled(lm: LanguageModel, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, model=lm.model, tokenizer=lm.tokenizer)
    folder = tmp_path / "1_Pooling"
    folder.mkdir()
    for mode, pooling in (("mean_tokens", "mean"), ("cls_token", "first")):
        (folder / "config.json").write_text(
            f'{{"pooling_mode_{mode}": true, "word_embedding_dimension": 24}}'
        )
        np.testing.assert_allclose(load(tmp_path).embed(TEXTS), lm.embed(TEXTS, pooling=pooling), atol=1e-6)
    (folder / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(CheckpointError, match="pooling_mode_max_tokens"):
        load(tmp_path).embed(TEXTS)


def test_transformers_fills_a_mask_of_ours_alike(lm: LanguageModel, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, model=lm.model, tokenizer=lm.tokenizer)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    given = tokenizer("the [MASK] sat on the mat", return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**given).logits[0].numpy()
    np.testing.assert_allclose(lm.logits(given["input_ids"][0]), expected, atol=1e-5)


def test_what_an_encoder_lacks_is_not_among_what_it_can_do() -> None:
    sizes = {"vocab_size": 9, "context": 8, "width": 4, "layers": 1, "heads": 1, "ffn_width": 4}
    bare = EncoderConfig(**sizes, mask_head=False, pair_head=False)
    with pytest.raises(
        ModelError, match=r"can do is give vectors of texts .*, carry a head \(shizuku classify\)$"
    ):
        require(bare, "generate")
    with pytest.raises(ModelError, match="encoder without a head for it cannot be evaluated on text"):
        require(bare, "score")
    require(EncoderConfig(**sizes), "score")


def test_the_bar_moves_with_each_group_of_windows(lm: LanguageModel, monkeypatch) -> None:
    moved: list[float] = []
    monkeypatch.setattr(Bar, "advance", lambda self, amount=1: moved.append(amount))
    monkeypatch.setattr(pseudo_perplexity, "TOKENS_AT_ONCE", 64)
    text = " ".join(TEXTS * 8)
    pseudo_perplexity.evaluate_pseudo(lm, [text])
    assert len(moved) > 2 and sum(moved) == pytest.approx(len(text.encode()))
