"""Tiny models of transformers with every weight, bias and norm random at a gain near one.

Default initialisation hides mechanisms: with zero biases, unit norms and small weights, a wrong bias, norm or
rotary base hardly moves the logits.
"""

from pathlib import Path

import torch
import transformers
from torch import Tensor, nn

from shizuku.checkpoints.huggingface import load_weights, read_config
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.hooks import recorded

TOLERANCE = 2e-5
"""Largest difference allowed, as a share of the signal's standard deviation."""
VOCABULARY = 257
_SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 3,
    "num_attention_heads": 6, "max_position_embeddings": 128, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip

CONFIGS: dict[str, transformers.PretrainedConfig] = {
    "gpt2": transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=96, n_layer=3, n_head=6, n_positions=128, n_inner=200,
        bos_token_id=None, eos_token_id=None,
    ),
    "llama_grouped_tied": transformers.LlamaConfig(
        **_SHAPE, num_key_value_heads=2, tie_word_embeddings=True, rope_theta=123.0, rms_norm_eps=0.01
    ),
    "llama_untied_biased": transformers.LlamaConfig(
        **_SHAPE, num_key_value_heads=6, tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
        hidden_act="gelu",
    ),
    "qwen3_windowed": transformers.Qwen3Config(
        **_SHAPE, num_key_value_heads=2, head_dim=32, tie_word_embeddings=False, rope_theta=777.0,
        use_sliding_window=True, sliding_window=7, max_window_layers=1, rms_norm_eps=0.01,
    ),
    "llama_llama3": transformers.LlamaConfig(
        **(_SHAPE | {"vocab_size": 259, "num_attention_heads": 3}), num_key_value_heads=1,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        },
    ),
    "llama_linear": transformers.LlamaConfig(
        **_SHAPE, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
    ),
    "llama_dynamic": transformers.LlamaConfig(
        **_SHAPE, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
    ),
    "mistral_yarn": transformers.MistralConfig(
        **_SHAPE, num_key_value_heads=2, head_dim=24, sliding_window=9,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32,
            "beta_fast": 2.0, "beta_slow": 0.25,
        },
    ),
    "qwen2": transformers.Qwen2Config(
        **_SHAPE, num_key_value_heads=2, use_sliding_window=True, sliding_window=7, max_window_layers=2
    ),
    "olmo2": transformers.Olmo2Config(
        **(_SHAPE | {"pad_token_id": None}), num_key_value_heads=2, rms_norm_eps=0.01, attention_bias=True
    ),
    "granite": transformers.GraniteConfig(
        **_SHAPE, num_key_value_heads=3, attention_multiplier=0.1, embedding_multiplier=3.0,
        residual_multiplier=0.4, logits_scaling=5.0, tie_word_embeddings=True, mlp_bias=True,
    ),
    "gemma3": transformers.Gemma3TextConfig(
        **(_SHAPE | {"pad_token_id": None}), num_key_value_heads=1, head_dim=20, query_pre_attn_scalar=50,
        sliding_window=6, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        final_logit_softcapping=4.0, rms_norm_eps=0.01,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
    ),
    "gemma2": transformers.Gemma2Config(
        **(_SHAPE | {"pad_token_id": None}), num_key_value_heads=3, head_dim=20, query_pre_attn_scalar=50,
        sliding_window=6, final_logit_softcapping=4.0, attn_logit_softcapping=2.0,
    ),
    "gpt_neox_parallel": transformers.GPTNeoXConfig(
        **_SHAPE, rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.25}
    ),
    "gpt_neox_sequential": transformers.GPTNeoXConfig(
        **_SHAPE, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True,
        layer_norm_eps=0.01, hidden_act="relu",
    ),
    "gpt_neo": transformers.GPTNeoConfig(
        vocab_size=VOCABULARY, hidden_size=96, num_layers=3, num_heads=6, max_position_embeddings=128,
        attention_types=[[["global", "local"], 1], [["local"], 1]], window_size=5,
        bos_token_id=None, eos_token_id=None,
    ),
    "bloom": transformers.BloomConfig(
        vocab_size=VOCABULARY, hidden_size=96, n_layer=3, n_head=6, seq_length=128,
        bos_token_id=None, eos_token_id=None,
    ),
    "phi": transformers.PhiConfig(
        **(_SHAPE | {"hidden_size": 90, "num_attention_heads": 5}), num_key_value_heads=1,
        partial_rotary_factor=0.34,
    ),
    "mixtral": transformers.MixtralConfig(
        **_SHAPE, num_key_value_heads=2, head_dim=20, num_local_experts=5, num_experts_per_tok=2,
        sliding_window=9,
    ),
    "olmoe": transformers.OlmoeConfig(
        **(_SHAPE | {"pad_token_id": None}), num_key_value_heads=2, num_experts=7, num_experts_per_tok=3,
        attention_bias=True, rms_norm_eps=0.01,
    ),
    "qwen3_moe": transformers.Qwen3MoeConfig(
        **_SHAPE, num_key_value_heads=2, head_dim=32, num_experts=6, num_experts_per_tok=2,
        moe_intermediate_size=40, mlp_only_layers=[1], norm_topk_prob=True, tie_word_embeddings=True,
    ),
    "dots1": transformers.Dots1Config(
        **_SHAPE, num_key_value_heads=2, n_routed_experts=6, num_experts_per_tok=2, n_shared_experts=2,
        moe_intermediate_size=40, first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=1.7,
        sliding_window=9, max_window_layers=2,
    ),
    "qwen3_full": transformers.Qwen3Config(
        **_SHAPE, num_key_value_heads=1, head_dim=8, tie_word_embeddings=True, attention_bias=True
    ),
}  # fmt: skip


@torch.no_grad()
def randomise(model: nn.Module, seed: int = 0) -> None:
    """Draw every parameter of a new model: matrices that keep a signal's size, norms around where they are,
    biases of half a unit.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in model.named_buffers():
        if name.endswith(("choice_bias", "e_score_correction_bias")):
            buffer.copy_(0.2 * torch.randn(buffer.shape, generator=generator))
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for name, parameter in model.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        if id(parameter) in embeddings:
            parameter.copy_(drawn)
        elif parameter.dim() >= 2:  # experts are stacked in three dimensions
            parameter.copy_(1.5 * drawn * parameter.shape[-2:].numel() ** -0.25)
        else:
            centre = parameter.mean().round() if name.endswith("weight") else 0.0  # 1, or 0 for 1 + weight
            parameter.copy_(0.5 * drawn + centre)


DENSE = [
    name
    for name, config in CONFIGS.items()
    if not any(hasattr(config, key) for key in ("num_local_experts", "num_experts", "n_routed_experts"))
]
"""Those without experts, which the native runtime has not."""


def peer(name: str) -> transformers.PreTrainedModel:
    """The tiny transformers model of this name, randomised, in eager float32."""
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="eager").eval()
    randomise(model)
    return model


def ours(model: transformers.PreTrainedModel, directory: Path) -> Decoder:
    """The same model here, by way of a Hugging Face directory."""
    model.save_pretrained(directory)
    config = read_config(directory)
    return built(config, load_weights(directory, config))


def built(config: DecoderConfig, weights: dict[str, Tensor]) -> Decoder:
    """A decoder with these weights."""
    decoder = Decoder(config).eval()
    decoder.load_state_dict(weights)
    return decoder


def token_ids(batch: int = 2, tokens: int = 40, seed: int = 1) -> Tensor:
    """Random ids of the tiny vocabulary [batch, tokens]."""
    return torch.randint(VOCABULARY, (batch, tokens), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def peer_signals(model: transformers.PreTrainedModel, ids_BT: Tensor) -> dict[str, Tensor]:
    """Logits and the residual stream after every layer, from transformers."""
    signals: dict[str, Tensor] = {}
    base = model.base_model
    layers = base.h if hasattr(base, "h") else base.layers

    def keep(name: str):
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            signals[name] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [layer.register_forward_hook(keep(f"blocks.{n}.residual")) for n, layer in enumerate(layers)]
    signals["logits"] = model(ids_BT).logits
    for handle in handles:
        handle.remove()
    return signals


@torch.no_grad()
def our_signals(model: Decoder, ids_BT: Tensor) -> dict[str, Tensor]:
    """Logits and the residual stream after every layer, from here."""
    with recorded(model, "blocks.*.residual", "logits") as kept:
        model(ids_BT)
    return kept


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference as a share of their standard deviation."""
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.std()).item()
