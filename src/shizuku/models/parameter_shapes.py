"""Name and shape of every parameter, from a config alone. For decoders nothing here needs torch."""

from collections.abc import Iterator
from typing import Any

from shizuku.models.decoder_config import DecoderConfig

Named = Iterator[tuple[str, tuple[int, ...]]]


def parameter_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """The names and shapes that the model's `state_dict()` has, in its order."""
    return dict(_decoder(config)) if isinstance(config, DecoderConfig) else _made(config)


def _made(config: Any) -> dict[str, tuple[int, ...]]:
    import torch

    from shizuku.models.architectures import build

    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build(config).state_dict().items()}


def _decoder(config: DecoderConfig) -> Named:
    yield "embedding.weight", (config.vocab_size, config.width)
    if config.positions == "learned":
        yield "position_embedding.weight", (config.context, config.width)
    if config.embedding_norm:
        yield from _norm("embedding_norm", config)
    blocks = {sparse: list(_block(config, sparse)) for sparse in set(config.sparse)}
    for layer, sparse in enumerate(config.sparse):
        for name, shape in blocks[sparse]:
            yield f"blocks.{layer}.{name}", shape
    yield from _norm("final_norm", config)
    if not config.tie_embeddings:
        yield from _linear("unembedding", config.width, config.vocab_size, config.unembedding_bias)


def _block(config: DecoderConfig, sparse: bool) -> Named:
    before, after = config.norm_placement != "after", config.norm_placement != "before"
    inner, shared = config.heads * config.head_width, config.kv_heads * config.head_width
    if before:
        yield from _norm("attention_norm", config)
    for name, rows in (("query", inner), ("key", shared), ("value", shared)):
        yield from _linear(f"attention.{name}", config.width, rows, config.attention_bias)
    yield from _linear("attention.output", inner, config.width, config.attention_output_bias)
    if config.qk_norm:
        joint = config.qk_norm_joint
        yield "attention.query_norm.weight", (inner if joint else config.head_width,)
        yield "attention.key_norm.weight", (shared if joint else config.head_width,)
    if after:
        yield from _norm("attention_output_norm", config)
    if before and not config.shared_norm:
        yield from _norm("feedforward_norm", config)
    if sparse:
        yield from _experts(config)
    else:
        yield from _feedforward("feedforward", config, config.ffn_width)
    if after:
        yield from _norm("feedforward_output_norm", config)


def _experts(config: DecoderConfig) -> Named:
    yield "feedforward.router.weight", (config.experts, config.width)
    if config.router_bias:
        yield "feedforward.router.choice_bias", (config.experts,)
    for expert in range(config.experts):
        yield from _feedforward(f"feedforward.experts.{expert}", config, config.expert_width)
    if config.shared_experts:
        yield from _feedforward("feedforward.shared", config, config.shared_experts * config.expert_width)


def _feedforward(name: str, config: DecoderConfig, hidden: int) -> Named:
    for part in ("gate", "up") if config.gated else ("up",):
        yield from _linear(f"{name}.{part}", config.width, hidden, config.mlp_bias)
    yield from _linear(f"{name}.down", hidden, config.width, config.mlp_bias)


def _norm(name: str, config: DecoderConfig) -> Named:
    yield f"{name}.weight", (config.width,)
    if config.norm_bias:
        yield f"{name}.bias", (config.width,)


def _linear(name: str, inputs: int, outputs: int, bias: bool) -> Named:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)
