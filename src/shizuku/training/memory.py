"""How much memory a run will take, estimated before it starts."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from shizuku.adapters.surgery import active_adapter, is_adapted, pairs_of
from shizuku.checkpoints.memory import available_memory, readable
from shizuku.errors import TrainingError
from shizuku.models.decoder import DecoderConfig
from shizuku.models.layers.experts import sparse_layers
from shizuku.quantization.surgery import TABLES, quantized_layers
from shizuku.training.config import LoopConfig
from shizuku.training.cross_entropy import CHUNK_BYTES
from shizuku.training.distribution import place
from shizuku.training.optimizers import parameter_groups

BYTES = 4
"""Of a float32."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes that a process of a run takes at its peak, by what takes them."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    saving: int = 0
    """What a save takes while there are no gradients and activations."""

    @property
    def total(self) -> int:
        """The peak."""
        return self.weights + self.optimizer + max(self.gradients + self.activations, self.saving)

    def explain(self) -> str:
        """One line for a person."""
        working = f"gradients {readable(self.gradients)}, activations {readable(self.activations)}"
        if self.saving > self.gradients + self.activations:
            working = f"saving {readable(self.saving)} (a step: {working})"
        return (
            f"{readable(self.total)}: weights {readable(self.weights)}, "
            f"optimizer {readable(self.optimizer)}, {working}"
        )


def estimate_memory(
    model: nn.Module,
    loop: LoopConfig,
    rows: int,
    tokens: int,
    *,
    packed: bool = True,
    shards: int = 1,
) -> MemoryEstimate:
    """The estimate for steps on `rows` rows of `tokens` tokens; the model may be on the meta device.

    `packed`: documents share rows, so attention has a mask. Activations are counted for decoders, and for
    models whose blocks say as `kept_numbers` how much a token leaves there.
    `shards`: over how many processes every weight is spread (FSDP); the rows are those of one process.
    """
    sizes = {
        kind: sum(parameter.numel() for parameter in group) for kind, group in parameter_groups(model).items()
    }
    elsewhere = _elsewhere(model) if loop.parallel == "experts" else 0
    sizes["matrices"] -= elsewhere if sizes["matrices"] else 0
    every = sum(parameter.numel() for parameter in model.parameters()) - elsewhere
    trained = sum(sizes.values())
    matrices = sizes["matrices"] * (1 if loop.optimizer.kind == "muon" else 2)
    # The chunked cross entropy keeps the output matrix's gradient from the forward pass to the backward pass.
    tables = getattr(model, "unembedding_weight_VD", None)
    kept = tables.numel() if isinstance(tables, Tensor) and tables.requires_grad else 0
    gathered = _gathered(model) if shards > 1 else 0
    config = getattr(model, "config", None)
    activations = (
        activation_bytes(config, rows, tokens, packed=packed, dropout=loop.dropout > 0)
        if isinstance(config, DecoderConfig)
        else _kept_in_blocks(model, rows * tokens)
    )
    if is_adapted(model):
        activations += _beside_base(model, rows * tokens)
    moved = BYTES * -(-(matrices + 2 * (sizes["embeddings"] + sizes["vectors"])) // shards)
    return MemoryEstimate(
        weights=BYTES * (-(-every // shards) + (0 if loop.ema is None else -(-trained // shards)) + gathered)
        + sum(buffer.numel() * buffer.element_size() for buffer in model.buffers()),
        gradients=BYTES * (-(-trained // shards) + gathered + kept),
        optimizer=moved,
        activations=activations,
        # Process 0 puts the whole model together; safetensors makes two copies of the optimizer's share.
        saving=BYTES * max(every - gathered, 0) + 2 * moved if shards > 1 else 0,
    )


def _kept_in_blocks(model: nn.Module, tokens: int) -> int:
    kept = sum(int(getattr(block, "kept_numbers", 0)) for block in getattr(model, "blocks", ()))
    return BYTES * kept * tokens + 3 * CHUNK_BYTES if kept else 0


def _beside_base(model: nn.Module, tokens: int) -> int:
    """What an adapter adds to the activations: its products with A, and while it acts the largest packed
    matrix in floats (with that of the output, which is kept for a whole pass).
    """
    name = active_adapter(model)
    pairs = {} if name is None else pairs_of(model, name)
    ranks = sum(len(pair.a_RI) for pair in pairs.values())
    if any(pair.dropout for pair in pairs.values()):
        ranks += sum(pair.a_RI.shape[1] + pair.a_RI.shape[1] // BYTES for pair in pairs.values())
    packed = {each: math.prod(layer.layout.shape) for each, layer in quantized_layers(model).items()}
    tables = [packed.pop(each) for each in TABLES if each in packed]
    return BYTES * (ranks * tokens + max(packed.values(), default=0) + max(tables, default=0))


def _elsewhere(model: nn.Module) -> int:
    """Numbers of the experts that other processes hold."""
    world = place()[1]
    experts = [p.numel() for layer in sparse_layers(model) for p in layer.experts.parameters()]
    return sum(experts) - sum(experts) // world


def _gathered(model: nn.Module) -> int:
    """Numbers that are whole in each process while weights are spread: a block at work, the next one on its
    way, and all that is outside of blocks.
    """
    blocks = [
        sum(parameter.numel() for parameter in block.parameters()) for block in getattr(model, "blocks", ())
    ]
    every = sum(parameter.numel() for parameter in model.parameters())
    return every - sum(blocks) + 2 * max(blocks, default=0)


def activation_bytes(
    config: DecoderConfig, rows: int, tokens: int, *, packed: bool = True, dropout: bool = False
) -> int:
    """What the forward pass keeps for the backward pass, plus one chunk of logits."""
    inner, shared = config.heads * config.head_width, config.kv_heads * config.head_width
    heads = inner + 2 * shared
    # Two norms (input, output), two residual sums; projections before and after norm and rotation; the
    # attention's output. The feed-forward layers are counted apart.
    layer = 6 * config.width + (4 if config.qk_norm else 2) * heads + 2 * inner
    # Norms of the other side, and factors on what is added to the stream, keep something too.
    layer += 2 * config.width if config.norm_placement == "both" else 0
    layer += 2 * config.width if config.residual_multiplier != 1 else 0
    per_token = config.layers * layer + (4 + 2 * config.embedding_norm) * config.width
    per_token += sum(_feedforward_numbers(config, sparse) for sparse in config.sparse)
    if dropout:  # what is left of the embeddings and of each layer's outputs, and a byte for each place
        per_token += (2 * config.layers + 1) * (config.width + config.width // BYTES)
    if config.attention_cap is not None:  # tanh and pattern of every layer, scores and their mask of one
        per_token += 2 * (config.layers + 1) * config.heads * tokens
    mask = rows * tokens * tokens * (1 + BYTES) if packed else 0
    if config.positions == "alibi":  # one bias a head, and the same for every row where nothing is packed
        mask = (rows if packed else 1) * config.heads * tokens * tokens * 2 * BYTES
    return BYTES * per_token * rows * tokens + mask + 3 * CHUNK_BYTES


def _feedforward_numbers(config: DecoderConfig, sparse: bool) -> int:
    """Gate, activation, up and product; for experts also their inputs, outputs and weighted outputs, in the
    order of the experts and of the tokens.
    """
    each = 4 if config.gated else 2
    if not sparse:
        return each * config.ffn_width
    chosen = config.experts_per_token + config.shared_experts
    return each * chosen * config.expert_width + 6 * config.experts_per_token * config.width


def check_memory(estimate: MemoryEstimate, processes: int = 1) -> None:
    """TrainingError with the settings to lower if the run would not fit into what is available, which
    `processes` on this machine share.
    """
    free = available_memory()
    if estimate.total * processes > free:
        each = f" in each of {processes} processes" if processes > 1 else ""
        fewer = ", the number of processes (or --loop.parallel fsdp)" if processes > 1 else ""
        raise TrainingError(
            f"this run needs about {estimate.explain()}{each}; {readable(free)} are available. Lower "
            f"--batch-size (and raise --loop.accumulate for the same step), --context{fewer}, or take a "
            "smaller model; --loop.no-check-memory starts it all the same"
        )
