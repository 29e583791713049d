"""The real SmolLM2-135M: greedy text equal to transformers on the same dequantised weights."""

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from shizuku.checkpoints.gguf import open_gguf
from shizuku.checkpoints.huggingface import to_huggingface
from shizuku.models.decoder import Decoder
from shizuku.text.gguf_vocabulary import tokenizer_from_metadata

PROMPTS = [
    *("The capital of France is", "Once upon a time", "def fibonacci(n):", "Water boils at", "1, 2, 3, 4,"),
    *("The best way to learn a language is", "Dear Sir or Madam,", "In 1969, two astronauts", "Tokyo is"),
    *("Bonjour, je m'appelle", "A haiku about rain:\n", "The derivative of x squared is", "雨が降ると"),
    *("import numpy as np\n", "Q: Why is the sky blue?\nA:", "Roses are red,", "The cat sat on"),
    *("To make bread, first", "<html>\n<body>", "She opened the door and"),
]
NEW_TOKENS = 64
TIE = 1e-4
"""Where the two best logits lie nearer than this, either may be chosen."""


@torch.no_grad()
def greedy(model: Decoder, prompts: list[list[int]]) -> Tensor:
    """Continue all prompts at once, right-padded [prompts, NEW_TOKENS]."""
    length = max(map(len, prompts))
    ids_BT = torch.tensor([ids + [0] * (length - len(ids)) for ids in prompts])
    segments_BT = torch.tensor([[0] * len(ids) + [-1] * (length - len(ids)) for ids in prompts])
    state = model.new_state(len(prompts), capacity=length + NEW_TOKENS)
    x_BTD = model.hidden(ids_BT, segments_BT=segments_BT, state=state)
    last_BD = x_BTD[torch.arange(len(prompts)), (segments_BT == 0).sum(1) - 1]
    chosen = []
    for _ in range(NEW_TOKENS):
        chosen.append(model.unembed(last_BD).argmax(-1))
        last_BD = model.hidden(chosen[-1][:, None], state=state)[:, -1]
    return torch.stack(chosen, dim=1)


@pytest.mark.slow
@torch.no_grad()
def test_greedy_text_equals_transformers(smollm2_gguf: Path) -> None:
    config, weights, metadata = open_gguf(smollm2_gguf)
    model = Decoder(config).eval()
    model.load_state_dict(weights)
    keys, tensors = to_huggingface(config, weights)
    theirs = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**keys)).eval()
    theirs.load_state_dict(tensors, strict=False)
    theirs.tie_weights()
    tokenizer = tokenizer_from_metadata(metadata, source=str(smollm2_gguf))
    prompts = [tokenizer.encode(prompt) for prompt in PROMPTS]
    continued = greedy(model, prompts)
    ties = 0
    for prompt, new in zip(prompts, continued.tolist(), strict=True):
        # Their greedy text is ours exactly if each of our tokens is their best after the ones before it.
        logits_TV = theirs(torch.tensor([prompt + new])).logits[0, len(prompt) - 1 : -1]
        best = logits_TV.max(-1)
        for step in (best.indices != torch.tensor(new)).nonzero()[:, 0].tolist():
            assert best.values[step] - logits_TV[step, new[step]] < TIE, (tokenizer.decode(prompt), step)
            ties += 1
    assert ties <= 2
    assert "Paris" in tokenizer.decode(continued[0].tolist())
