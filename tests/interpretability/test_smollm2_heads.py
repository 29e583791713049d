"""Kinds of heads that other models have are found in a real one, and its maps are maps."""

from pathlib import Path

import numpy as np
import pytest

from shizuku import LanguageModel
from shizuku.interpretability.known_heads import known_heads
from shizuku.interpretability.maps import attention_maps
from shizuku.interpretability.pairs import find_word, looks, ranked
from shizuku.text.spelling import spellings


@pytest.mark.slow
def test_a_real_model_copies_and_looks_back(smollm2_gguf: Path) -> None:
    lm = LanguageModel.load(smollm2_gguf)
    start = lm.tokenizer.document_start_id
    found = known_heads(lm.model, length=25, texts=2, start=start)
    assert found.induction.max() > 0.6 and found.previous.max() > 0.6
    assert np.median(found.induction) < 0.05
    sentences = [f"The animal didn't cross the street because it was too {end}." for end in ("tired", "wide")]
    maps = [attention_maps(lm.model, lm.prompt_ids(text)) for text in sentences]
    np.testing.assert_allclose(maps[0].sum(-1), 1, atol=1e-5)
    tokens = spellings(lm.tokenizer, lm.prompt_ids(sentences[0]))
    it, animal = find_word(tokens, "it"), find_word(tokens, "animal")
    assert ranked(looks(maps[0], it, animal), 1)[0].value > 0.5
    np.testing.assert_array_equal(maps[0][:, :, it], maps[1][:, :, it])  # what decides comes after it
