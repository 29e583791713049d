"""Two models on one text: by hand on small ones, and errors that are those of the differences."""

import math

import pytest
import torch

from shizuku.errors import ConfigError, DocumentError, ModelError
from shizuku.evaluation.divergence import Comparison, compare, encoded, ratio_error, token_windows
from shizuku.evaluation.perplexity import evaluate_text
from shizuku.language_model import LanguageModel
from small_models import small_model, small_tokenizer

TEXTS = ["the rain in the town " * 3, "雨が降る。", "", "the roof of the shop", "fell on"]


def _windows(tokens: int = 10_000, window: int = 32):
    return token_windows(encoded(small_tokenizer(), TEXTS), tokens=tokens, window=window)


def test_every_token_behind_its_own_document_is_scored_once() -> None:
    lm = LanguageModel(small_model(), small_tokenizer())
    whole = evaluate_text(lm, ["the rain in the", "fell on"])
    windows = token_windows(encoded(small_tokenizer(), ["the rain in the", "fell on"]), tokens=999, window=32)
    assert windows.ids_NT.shape == (1, 32), "both documents share a row"
    found = compare(lm.model, lm.model, windows)
    assert found.tokens == whole.tokens
    assert found.loss_before * found.tokens == pytest.approx(whole.nats, rel=1e-5)


def test_a_number_of_tokens_is_kept_to_exactly() -> None:
    windows = _windows(tokens=17)
    assert windows.scored == int(windows.targets_NT.sum()) == 17
    assert compare(small_model(), small_model(), windows).tokens == 17
    short = _windows(window=5)
    assert int(short.targets_NT.sum()) == short.scored


def test_the_divergence_is_the_one_by_hand() -> None:
    one, other, windows = small_model(), small_model(seed=1), _windows()
    found = compare(one, other, windows)
    wanted, before = windows.targets_NT, windows.targets_NT.roll(-1, dims=1)
    logp, logq = (
        m(windows.ids_NT, segments_BT=windows.segments_NT).detach().log_softmax(-1).double()[before]
        for m in (one, other)
    )
    targets = windows.ids_NT[wanted]
    kl = (logp.exp() * (logp - logq)).sum(-1)
    assert found.kl == pytest.approx(float(kl.mean()), rel=1e-5)
    for loss, log in ((found.loss_before, logp), (found.loss_after, logq)):
        assert loss == pytest.approx(-float(log.gather(1, targets[:, None]).mean()), rel=1e-5)
    assert found.agreement == pytest.approx(float((logp.argmax(-1) == logq.argmax(-1)).double().mean()))
    assert found.perplexity_after == pytest.approx(math.exp(found.loss_after))


def test_a_model_differs_from_itself_by_nothing() -> None:
    found = compare(small_model(), small_model(), _windows(window=8))
    assert found.kl == pytest.approx(0, abs=1e-7) and found.loss_increase == 0 and found.loss_error == 0
    assert found.agreement == 1 and isinstance(found, Comparison)


def test_the_error_is_that_of_a_mean_of_independent_windows() -> None:
    generator = torch.Generator().manual_seed(0)
    estimates, errors = [], []
    for _ in range(400):
        counts = torch.randint(5, 30, (50,), generator=generator).double()
        sums = counts * 0.3 + torch.randn(50, generator=generator, dtype=torch.double) * counts.sqrt()
        estimates.append(float(sums.sum() / counts.sum()))
        errors.append(ratio_error(sums, counts))
    spread = torch.tensor(estimates).std()
    assert float(spread) == pytest.approx(sum(errors) / len(errors), rel=0.1)
    assert math.isnan(ratio_error(torch.ones(1), torch.ones(1)))


def test_what_cannot_be_compared_is_refused() -> None:
    from shizuku.models.decoder import Decoder, DecoderConfig

    other = Decoder(DecoderConfig(vocab_size=300, context=32, width=32, layers=1, heads=2, ffn_width=32))
    with pytest.raises(ModelError, match="the vocabularies differ: 400 and 300"):
        compare(small_model(), other, _windows())
    with pytest.raises(DocumentError, match="no text to measure on"):
        token_windows(encoded(small_tokenizer(), [""]), tokens=5, window=8)
    with pytest.raises(ConfigError, match="windows of 1"):
        _windows(window=1)
