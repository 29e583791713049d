"""How much memory a run will take, estimated before it starts."""

from dataclasses import dataclass

from torch import nn

from shizuku.checkpoints.memory import available_memory, readable
from shizuku.errors import TrainingError
from shizuku.models.decoder import DecoderConfig
from shizuku.training.config import OptimizerConfig
from shizuku.training.cross_entropy import CHUNK_BYTES
from shizuku.training.optimizers import parameter_groups

BYTES = 4
"""Of a float32."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes that a run takes at its peak, by what takes them."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of them together."""
        return self.weights + self.gradients + self.optimizer + self.activations

    def explain(self) -> str:
        """One line for a person."""
        return (
            f"{readable(self.total)}: weights {readable(self.weights)}, "
            f"gradients {readable(self.gradients)}, optimizer {readable(self.optimizer)}, "
            f"activations {readable(self.activations)}"
        )


def estimate_memory(
    model: nn.Module, optimizer: OptimizerConfig, rows: int, tokens: int, *, packed: bool = True
) -> MemoryEstimate:
    """The estimate for steps on `rows` rows of `tokens` tokens; the model may be on the meta device.

    `packed`: documents share rows, so attention has a mask. Activations are counted for decoders only.
    """
    sizes = {
        kind: sum(parameter.numel() for parameter in group) for kind, group in parameter_groups(model).items()
    }
    every = sum(parameter.numel() for parameter in model.parameters())
    matrices = sizes["matrices"] * (1 if optimizer.kind == "muon" else 2)
    tables = getattr(model, "unembedding_weight_VD", None)
    # The chunked cross entropy keeps the output matrix's gradient from the forward pass to the backward pass.
    kept = 0 if tables is None else tables.numel()
    config = getattr(model, "config", None)
    activations = (
        activation_bytes(config, rows, tokens, packed=packed) if isinstance(config, DecoderConfig) else 0
    )
    return MemoryEstimate(
        weights=BYTES * every,
        gradients=BYTES * (sum(sizes.values()) + kept),
        optimizer=BYTES * (matrices + 2 * (sizes["embeddings"] + sizes["vectors"])),
        activations=activations,
    )


def activation_bytes(config: DecoderConfig, rows: int, tokens: int, *, packed: bool = True) -> int:
    """What the forward pass keeps for the backward pass, plus one chunk of logits."""
    inner, shared = config.heads * config.head_width, config.kv_heads * config.head_width
    heads = inner + 2 * shared
    # Two norms (input, output), two residual sums; projections before and after norm and rotation; the
    # attention's output; gate, activation, up and product of the feed-forward layer.
    layer = 6 * config.width + (4 if config.qk_norm else 2) * heads + 2 * inner
    layer += (4 if config.gated else 2) * config.ffn_width
    per_token = config.layers * layer + 4 * config.width
    mask = rows * tokens * tokens * (1 + BYTES) if packed else 0
    return BYTES * per_token * rows * tokens + mask + 3 * CHUNK_BYTES


def check_memory(estimate: MemoryEstimate) -> None:
    """TrainingError with the settings to lower if the run would not fit into what is available."""
    free = available_memory()
    if estimate.total > free:
        raise TrainingError(
            f"this run needs about {estimate.explain()}; {readable(free)} are available. Lower --batch-size "
            "(and raise --loop.accumulate for the same step), --model.context, or the model (--preset); "
            "--loop.no-check-memory starts it all the same"
        )
