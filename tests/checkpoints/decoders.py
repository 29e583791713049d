"""A small config for each GGUF architecture, and decoders with every number random."""

import torch

from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.models.decoder_config import RotaryScaling

SHAPE = {"vocab_size": 320, "context": 32, "width": 64, "layers": 2, "heads": 4, "ffn_width": 96}
LAYERNORM = {"norm": "layernorm", "norm_bias": True, "gated": False}
OLMO2 = {"norm_placement": "after", "qk_norm": True, "qk_norm_joint": True, "tie_embeddings": False}
CONFIGS = {
    "llama": DecoderConfig(
        **SHAPE, kv_heads=2, rope_theta=5000.0, norm_eps=1e-5, attention_bias=True, attention_output_bias=True
    ),
    "qwen3": DecoderConfig(**SHAPE, kv_heads=1, head_width=32, qk_norm=True, tie_embeddings=False),
    "qwen2": DecoderConfig(**SHAPE, kv_heads=2, attention_bias=True),
    "olmo2": DecoderConfig(**SHAPE, **OLMO2, kv_heads=2),
    "granite": DecoderConfig(
        **SHAPE, attention_scale=0.1, embedding_multiplier=12.0, residual_multiplier=0.22,
        logit_multiplier=0.125,
    ),
    "gemma3": DecoderConfig(
        **(SHAPE | {"layers": 7}), kv_heads=1, head_width=32, norm_placement="both", norm_offset=True,
        qk_norm=True, activation="gelu_tanh", embedding_multiplier=8.0, rope_theta=1e6,
        rope_local_theta=2e4, sliding_window=6, sliding_layers=(*[True] * 5, False, True),
        rope_scaling=RotaryScaling(kind="linear", factor=8.0), logit_cap=30.0,
    ),
    "gemma2": DecoderConfig(
        **SHAPE, kv_heads=2, norm_placement="both", norm_offset=True, activation="gelu_tanh",
        embedding_multiplier=8.0, sliding_window=6, sliding_layers=(True, False), attention_cap=50.0,
        logit_cap=30.0,
    ),
    "gptneox": DecoderConfig(
        **SHAPE, **LAYERNORM, parallel_residual=True, rotary_share=0.25, activation="gelu", mlp_bias=True,
        attention_bias=True, attention_output_bias=True, tie_embeddings=False,
    ),
    "bloom": DecoderConfig(
        **(SHAPE | {"ffn_width": 256}), **LAYERNORM, positions="alibi", embedding_norm=True, mlp_bias=True,
        activation="gelu_tanh", attention_bias=True, attention_output_bias=True,
    ),
    "phi2": DecoderConfig(
        **SHAPE, **LAYERNORM, parallel_residual=True, shared_norm=True, rotary_share=0.5, mlp_bias=True,
        activation="gelu_tanh", attention_bias=True, attention_output_bias=True, tie_embeddings=False,
        unembedding_bias=True,
    ),
    "gpt2": DecoderConfig(
        **SHAPE, norm="layernorm", norm_bias=True, positions="learned", activation="gelu_tanh", gated=False,
        attention_bias=True, attention_output_bias=True, mlp_bias=True, norm_eps=1e-5,
    ),
}  # fmt: skip
"""By the name of the architecture."""


def random_model(config: DecoderConfig) -> Decoder:
    """A decoder whose norms and biases are random too."""
    model = Decoder(config).eval()
    initialise(model, 0)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model
