"""The real MiniLM encoder that `shizuku pull all-minilm-l6-v2` fetches, against transformers' BertModel."""

from pathlib import Path

import numpy as np
import torch
import transformers

import shizuku

PAIRS = [
    ("A man is playing a guitar.", "Someone plays an instrument."),
    ("The stock market fell sharply today.", "Share prices dropped a lot this afternoon."),
    ("How do I bake bread at home?", "A simple recipe for a loaf from your own oven."),
    ("The cat sleeps on the warm windowsill.", "A kitten is napping in the sun by the window."),
    ("The train to Kyoto leaves at nine.", "Departure for Kyoto is at 9 o'clock by rail."),
    ("She has a fever and a cough.", "The patient is ill with flu symptoms."),
]


def test_vectors_are_those_of_transformers(minilm: Path) -> None:
    texts = [text for pair in PAIRS for text in pair] + ["word", "many words " * 60]
    lm = shizuku.load(minilm)
    found_ND = lm.embed(texts)
    model = transformers.BertModel.from_pretrained(minilm).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    given = tokenizer(texts, padding="longest", truncation=False, return_tensors="pt")
    with torch.no_grad():
        x_NTD = model(**given).last_hidden_state
    mask_NT1 = given["attention_mask"][..., None]
    mean_ND = (x_NTD * mask_NT1).sum(1) / mask_NT1.sum(1)
    np.testing.assert_allclose(found_ND, torch.nn.functional.normalize(mean_ND), atol=1e-5)


def test_sentences_that_mean_the_same_are_nearest(minilm: Path) -> None:
    lm = shizuku.load(minilm)
    left_ND, right_ND = (lm.embed(list(side)) for side in zip(*PAIRS, strict=True))
    cosines_NN = left_ND @ right_ND.T
    assert (cosines_NN.argmax(1) == np.arange(len(PAIRS))).all()
    assert (cosines_NN.argmax(0) == np.arange(len(PAIRS))).all()
