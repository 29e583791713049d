"""Mamba-1: selective state spaces, each inner feature with its own step."""

from typing import Any

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.translations import Foreign, Translation, renamed
from shizuku.checkpoints.weights import Weight, weight
from shizuku.errors import CheckpointError


def alone(theirs: str, ours: str) -> Weight:
    """The entry of a parameter that is no module's weight or bias."""
    return Weight(theirs=theirs, ours=(ours,))


def inner_width() -> Translation:
    """Translate the inner width, a multiple of the width there."""

    def read(foreign: Foreign) -> dict[str, Any]:
        made = foreign["expand"] * foreign["hidden_size"]
        said = foreign.get("intermediate_size", made)
        if said != made:
            raise CheckpointError(f"intermediate_size is {said}, but expand times hidden_size {made}")
        return {"inner_width": int(made)}

    def write(config: Any) -> dict[str, Any]:
        return {"expand": config.inner_width // config.width}

    return Translation(keys=("expand", "intermediate_size"), read=read, write=write)


def rank() -> Translation:
    """Translate the rank of the step, which may be left to the width."""

    def read(foreign: Foreign) -> dict[str, Any]:
        said = foreign["time_step_rank"]
        return {"step_rank": -(-foreign["hidden_size"] // 16) if said == "auto" else said}

    def write(config: Any) -> dict[str, Any]:
        return {"time_step_rank": config.step_rank}

    return Translation(keys=("time_step_rank",), read=read, write=write)


SIZES = (
    *renamed(vocab_size="vocab_size", context="max_position_embeddings", width="hidden_size"),
    *renamed(layers="num_hidden_layers", state_width="state_size", conv_width="conv_kernel"),
    *renamed(conv_bias="use_conv_bias", bias="use_bias", norm_eps="layer_norm_epsilon"),
    *renamed(tie_embeddings="tie_word_embeddings"),
    inner_width(),
    rank(),
)
"""What both kinds of Mamba say in the same words; the context is a key of ours, as they have none."""
DEFAULTS = {
    "max_position_embeddings": 2048,
    "conv_kernel": 4,
    "expand": 2,
    "hidden_act": "silu",
    "layer_norm_epsilon": 1e-5,
    "time_step_rank": "auto",
    "use_bias": False,
    "use_conv_bias": True,
    "rms_norm": True,
    "ssm_cfg": {},
}
"""Of both kinds."""
NEUTRAL = frozenset(
    {
        "residual_in_fp32", "rescale_prenorm_residual", "time_step_min", "time_step_max", "time_step_floor",
        "time_step_init_scheme", "time_step_scale", "use_mambapy", "use_associative_scan", "chunk_size",
        "d_inner", "d_model", "n_layer", "fused_add_norm", "pad_vocab_size_multiple", "layer_types",
    }
)  # fmt: skip
"""Keys that are for beginnings of training, for speed, or say again what others say."""
MIXER = (
    *weight("embeddings", "embedding"),
    *weight("layers.{n}.norm", "blocks.{n}.norm"),
    *weight("layers.{n}.mixer.in_proj", "blocks.{n}.mixer.input"),
    *weight("layers.{n}.mixer.conv1d", "blocks.{n}.mixer.convolution"),
    alone("layers.{n}.mixer.A_log", "blocks.{n}.mixer.log_decay"),
    alone("layers.{n}.mixer.D", "blocks.{n}.mixer.skip"),
    *weight("layers.{n}.mixer.out_proj", "blocks.{n}.mixer.output"),
    *weight("norm_f", "final_norm"),
    *weight("lm_head", "unembedding"),
)
"""The weights of both kinds."""

FAMILY = Family(
    model_type="mamba",
    architecture="MambaForCausalLM",
    ours="mamba",
    fixed={"heads": None},
    translations=SIZES,
    defaults={
        **DEFAULTS,
        "vocab_size": 50_280,
        "hidden_size": 768,
        "num_hidden_layers": 32,
        "state_size": 16,
        "tie_word_embeddings": True,
    },
    neutral=NEUTRAL,
    prefix="backbone.",
    weights=(
        *MIXER,
        *weight("layers.{n}.mixer.x_proj", "blocks.{n}.mixer.selection"),
        *weight("layers.{n}.mixer.dt_proj", "blocks.{n}.mixer.step"),
    ),
)
