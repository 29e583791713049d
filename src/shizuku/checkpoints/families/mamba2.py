"""Mamba-2: state spaces whose heads share a step and a decay each."""

import math
from collections.abc import Mapping
from typing import Any

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.families.mamba import DEFAULTS, MIXER, NEUTRAL, SIZES, alone
from shizuku.checkpoints.translations import Foreign, Translation, renamed
from shizuku.checkpoints.weights import weight
from shizuku.errors import CheckpointError


def _head_width() -> Translation:
    def read(foreign: Foreign) -> dict[str, Any]:
        inner = foreign["expand"] * foreign["hidden_size"]
        if foreign["num_heads"] * foreign["head_dim"] != inner:
            raise CheckpointError(
                f"num_heads {foreign['num_heads']} times head_dim {foreign['head_dim']} is not expand times "
                f"hidden_size, {inner}"
            )
        return {}

    def write(config: Any) -> dict[str, Any]:
        return {"head_dim": config.inner_width // config.heads}

    return Translation(keys=("head_dim",), read=read, write=write)


def _step_limit() -> Translation:
    def read(foreign: Foreign) -> dict[str, Any]:
        # transformers writes infinity as {"__float__": "Infinity"}, as JSON has no number for it.
        limits = [
            each["__float__"] if isinstance(each, Mapping) else each for each in foreign["time_step_limit"]
        ]
        low, high = (float(each) for each in limits)
        return {} if (low, high) == (0, math.inf) else {"step_limit": [low, high]}

    def write(config: Any) -> dict[str, Any]:
        return {} if config.step_limit is None else {"time_step_limit": list(config.step_limit)}

    return Translation(keys=("time_step_limit",), read=read, write=write)


FAMILY = Family(
    model_type="mamba2",
    architecture="Mamba2ForCausalLM",
    ours="mamba",
    fixed={},
    translations=(
        *SIZES,
        *renamed(heads="num_heads", groups="n_groups"),
        _head_width(),
        _step_limit(),
    ),
    defaults={
        **DEFAULTS,
        "vocab_size": 32_768,
        "hidden_size": 4096,
        "num_hidden_layers": 64,
        "state_size": 128,
        "num_heads": 128,
        "head_dim": 64,
        "n_groups": 8,
        "time_step_limit": (0.0, math.inf),
        "tie_word_embeddings": False,
    },
    neutral=NEUTRAL,
    prefix="backbone.",
    weights=(
        *MIXER,
        *weight("layers.{n}.mixer.norm", "blocks.{n}.mixer.norm"),
        alone("layers.{n}.mixer.dt_bias", "blocks.{n}.mixer.step_bias"),
    ),
    accepts=lambda config: config.heads is not None,
)
