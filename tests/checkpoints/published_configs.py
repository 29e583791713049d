"""The config.json of published models, without keys that change nothing, and their numbers of weights."""

from typing import Any

PUBLISHED: dict[str, tuple[int, dict[str, Any]]] = {
    "llama-3.2-1b": (1_235_814_400, {
        "model_type": "llama", "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
        "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5, "rope_theta": 500_000.0,
        "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3",
        },
        "attention_bias": False, "mlp_bias": False, "pretraining_tp": 1, "tie_word_embeddings": True,
    }),
    "mistral-7b-v0.1": (7_241_732_096, {
        "model_type": "mistral", "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 14_336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "max_position_embeddings": 32_768, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
        "sliding_window": 4096, "tie_word_embeddings": False, "hidden_act": "silu",
    }),
    "qwen2-0.5b": (494_032_768, {
        "model_type": "qwen2", "vocab_size": 151_936, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "max_window_layers": 24,
        "max_position_embeddings": 131_072, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0,
        "sliding_window": 131_072, "use_sliding_window": False, "tie_word_embeddings": True,
    }),
    "gemma-2-2b": (2_614_341_888, {
        "model_type": "gemma2", "vocab_size": 256_000, "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-6, "rope_theta": 10_000.0,
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "hidden_activation": "gelu_pytorch_tanh", "cache_implementation": "hybrid",
    }),
    "gemma-3-270m": (268_098_176, {
        "model_type": "gemma3_text", "vocab_size": 262_144, "hidden_size": 640, "intermediate_size": 2048,
        "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "_sliding_window_pattern": 6, "sliding_window": 512, "max_position_embeddings": 32_768,
        "rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0, "rope_scaling": None,
        "query_pre_attn_scalar": 256, "attn_logit_softcapping": None, "final_logit_softcapping": None,
        "use_bidirectional_attention": False, "attention_bias": False, "rms_norm_eps": 1e-6,
    }),
    "olmo-2-0425-1b": (1_484_916_736, {
        "model_type": "olmo2", "vocab_size": 100_352, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 500_000, "rope_scaling": None,
        "attention_bias": False, "tie_word_embeddings": False,
    }),
    "granite-3.0-2b": (2_533_531_648, {
        "model_type": "granite", "vocab_size": 49_155, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "rope_scaling": None,
        "attention_multiplier": 0.015625, "embedding_multiplier": 12.0, "logits_scaling": 8.0,
        "residual_multiplier": 0.22, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True,
    }),
    "pythia-70m": (70_426_624, {
        "model_type": "gpt_neox", "vocab_size": 50_304, "hidden_size": 512, "intermediate_size": 2048,
        "num_hidden_layers": 6, "num_attention_heads": 8, "max_position_embeddings": 2048,
        "rotary_emb_base": 10_000, "rotary_pct": 0.25, "layer_norm_eps": 1e-5, "hidden_act": "gelu",
        "use_parallel_residual": True, "tie_word_embeddings": False,
    }),
    "gpt-neo-125m": (125_198_592, {
        "model_type": "gpt_neo", "vocab_size": 50_257, "hidden_size": 768, "intermediate_size": None,
        "num_layers": 12, "num_heads": 12, "max_position_embeddings": 2048, "window_size": 256,
        "attention_types": [[["global", "local"], 6]], "attention_layers": ["global", "local"] * 6,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "gradient_checkpointing": False,
        "resid_dropout": 0, "embed_dropout": 0, "summary_type": "cls_index",
    }),
    "bloom-560m": (559_214_592, {
        "model_type": "bloom", "vocab_size": 250_880, "n_embed": 1024, "n_layer": 24,
        "num_attention_heads": 16, "seq_length": 2048, "layer_norm_epsilon": 1e-5, "offset_alibi": 100,
        "apply_residual_connection_post_layernorm": False, "attention_softmax_in_fp32": True,
        "bias_dropout_fusion": True, "masked_softmax_fusion": True, "pretraining_tp": 1,
        "skip_bias_add": True, "skip_bias_add_qkv": False, "unk_token_id": 0,
    }),
    "phi-2": (2_779_683_840, {
        "model_type": "phi", "vocab_size": 51_200, "hidden_size": 2560, "intermediate_size": 10_240,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "max_position_embeddings": 2048, "partial_rotary_factor": 0.4, "qk_layernorm": False,
        "rope_theta": 10_000.0, "rope_scaling": None, "layer_norm_eps": 1e-5, "hidden_act": "gelu_new",
        "tie_word_embeddings": False,
    }),
    "mixtral-8x7b-v0.1": (46_702_792_704, {
        "model_type": "mixtral", "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 14_336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "num_local_experts": 8, "num_experts_per_tok": 2, "max_position_embeddings": 32_768,
        "rms_norm_eps": 1e-5, "rope_theta": 1_000_000.0, "sliding_window": None, "hidden_act": "silu",
        "output_router_logits": False, "router_aux_loss_coef": 0.02, "tie_word_embeddings": False,
    }),
    "olmoe-1b-7b-0924": (6_919_161_856, {
        "model_type": "olmoe", "vocab_size": 50_304, "hidden_size": 2048, "intermediate_size": 1024,
        "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16, "num_experts": 64,
        "num_experts_per_tok": 8, "norm_topk_prob": False, "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "rope_scaling": None, "clip_qkv": None,
        "attention_bias": False, "output_router_logits": False, "router_aux_loss_coef": 0.01,
        "hidden_act": "silu", "tie_word_embeddings": False,
    }),
    "qwen3-30b-a3b": (30_532_122_624, {
        "model_type": "qwen3_moe", "vocab_size": 151_936, "hidden_size": 2048, "intermediate_size": 6144,
        "moe_intermediate_size": 768, "num_hidden_layers": 48, "num_attention_heads": 32,
        "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8,
        "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [], "max_window_layers": 48,
        "max_position_embeddings": 40_960, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0,
        "rope_scaling": None, "sliding_window": None, "use_sliding_window": False,
        "attention_bias": False, "output_router_logits": False, "router_aux_loss_coef": 0.001,
        "hidden_act": "silu", "tie_word_embeddings": False,
    }),
}  # fmt: skip
"""By name."""
