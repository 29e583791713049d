"""A small random language model with a real tokenizer, for tests that need one whole."""

from functools import cache

import torch

from shizuku.language_model import LanguageModel
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.tokenizer import Tokenizer

TEXT = (
    "The cat sat on the mat and looked at the rain. A boat went over the lake in the evening. "
    "In the town by the sea the baker opens his shop at seven. "
    "雨が降っています。町のパン屋は七時に開きます。 "
) * 20


@cache
def tokenizer() -> Tokenizer:
    """Byte-level BPE with every control token and a chat template."""
    return Tokenizer.train([TEXT], 350)


@cache
def bare_tokenizer() -> Tokenizer:
    """The same kind without any control token and without a template."""
    return Tokenizer.train([TEXT], 330, special=SpecialTokens())


def tiny_model(vocab_size: int = 400, *, context: int = 128, seed: int = 0, gain: float = 1.0) -> Decoder:
    """A decoder whose every weight is random, so that its next token depends on all it has read."""
    config = DecoderConfig(
        vocab_size=vocab_size, context=context, width=32, layers=2, heads=4, kv_heads=2, ffn_width=48
    )
    model = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.3 * noise)
            else:
                parameter.copy_(noise * gain / parameter.shape[-1] ** 0.5)
    return model.eval()


def tiny_lm(*, context: int = 128, seed: int = 0) -> LanguageModel:
    """A small random language model with every capability."""
    return LanguageModel(tiny_model(tokenizer().vocab_size, context=context, seed=seed), tokenizer())


def bare_lm(*, context: int = 128) -> LanguageModel:
    """A small random language model without control tokens, stop tokens and chat template."""
    model = tiny_model(bare_tokenizer().vocab_size, context=context)
    return LanguageModel(model, bare_tokenizer())
