"""Small decoders and a small tokenizer, in the shapes that other programs know."""

from functools import cache

import torch

from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.text.tokenizer import Tokenizer

SHAPES = {
    "llama": {"kv_heads": 2, "norm_eps": 1e-5},
    "qwen3": {"kv_heads": 2, "qk_norm": True, "head_width": 16, "rope_theta": 1e6},
    "gpt2": {
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "norm_bias": True,
        "positions": "learned",
        "activation": "gelu_tanh",
        "gated": False,
        "attention_bias": True,
        "attention_output_bias": True,
        "mlp_bias": True,
    },
}


def small_model(shape: str = "llama", seed: int = 0) -> Decoder:
    """A decoder with every weight, bias and norm randomised."""
    config = DecoderConfig(
        vocab_size=400, context=32, width=32, layers=2, heads=4, ffn_width=64, **SHAPES[shape]
    )
    model = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise / 4 if parameter.dim() == 1 else noise / parameter.shape[-1] ** 0.5)
    return model.eval()


@cache
def small_tokenizer() -> Tokenizer:
    """Byte-level BPE with 290 ids."""
    return Tokenizer.train(["the rain in the town fell on the roof of the shop. 雨が降る。 "] * 50, 290)
