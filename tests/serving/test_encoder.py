"""An encoder behind the server: vectors for all, and an answer that says what it can do for what it can't."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest
import torch
from live_server import Live, running

import shizuku
from ngram_parts import Documents
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.checkpoints.pooling import declare_pooling
from shizuku.inference.ngram_runtime import NGramRuntime
from shizuku.language_model import LanguageModel
from shizuku.models.encoder import Encoder, EncoderConfig, initialise
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.counting.counts import count_ngrams
from shizuku.training.counting.smoothing import smooth

TEXTS = ["the cat sat on the mat", "a dog", "on a mat the cat and a dog sat on it"]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    tokenizer = Tokenizer.train(TEXTS * 3, 30, kind="wordpiece")
    sizes = {"context": 32, "width": 24, "layers": 2, "heads": 2, "ffn_width": 48}
    model = Encoder(EncoderConfig(vocab_size=tokenizer.vocab_size, **sizes))
    initialise(model, 1)
    return LanguageModel(model, tokenizer)


@pytest.fixture(scope="module")
def live(lm: LanguageModel) -> Iterator[Live]:
    with running({"encoder": lm}) as found:
        yield found


def test_vectors_are_those_of_embed(live: Live, lm: LanguageModel) -> None:
    found = live.client().embeddings.create(model="encoder", input=TEXTS)
    expected_ND = lm.embed(TEXTS)
    np.testing.assert_allclose([one.embedding for one in found.data], expected_ND, atol=1e-6)
    lengths = [len(lm.tokenizer.encode(text)) + 2 for text in TEXTS]
    assert found.usage.prompt_tokens == sum(lengths)
    with torch.no_grad():
        ids = [lm.tokenizer.cls_id, *lm.tokenizer.encode(TEXTS[0]), lm.tokenizer.sep_id]
        mean_D = lm.model.hidden(torch.tensor([ids]))[0].mean(0)
    np.testing.assert_allclose(expected_ND[0], mean_D / mean_D.norm(), atol=1e-6)


def test_what_would_continue_a_text_is_refused_and_the_server_goes_on(live: Live) -> None:
    client = live.client()
    card = client.models.retrieve("encoder").model_dump()
    assert card["capabilities"] == ["embed", "fill", "head", "score"]
    with pytest.raises(openai.BadRequestError, match="cannot continue texts"):
        client.completions.create(model="encoder", prompt="the cat")
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model="encoder", messages=[{"role": "user", "content": "hello"}], stream=stream
            )
    assert client.embeddings.create(model="encoder", input="the cat").data


def test_vectors_are_pooled_as_the_directory_says(lm: LanguageModel, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, model=lm.model, tokenizer=lm.tokenizer)
    declare_pooling(tmp_path, "first", width=24, window=32)
    with running({"trained": shizuku.load(tmp_path)}) as live:
        found = live.client().embeddings.create(model="trained", input=TEXTS)
    vectors_ND = np.array([one.embedding for one in found.data])
    np.testing.assert_allclose(vectors_ND, lm.embed(TEXTS, pooling="first"), atol=1e-6)
    assert np.abs(vectors_ND - lm.embed(TEXTS)).max() > 0.01


def test_an_n_gram_model_has_a_card_like_any_other() -> None:
    tokenizer = Tokenizer.train(TEXTS * 3, 270)
    size = tokenizer.vocab_size
    counts = count_ngrams(Documents([tokenizer.encode(text) for text in TEXTS]), order=3, vocab_size=size)
    made = smooth(counts, "add-k", vocab_size=size, start=None)
    with running({"counted": LanguageModel(NGramRuntime(made), tokenizer)}) as live:
        (card,) = (one.model_dump() for one in live.client().models.list().data)
        assert card["parameters"] == made.numbers > size and card["bytes"] == made.nbytes
