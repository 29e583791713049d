"""Foreign architectures: one file each, found by its name, which is the `model_type` of their config.json.

A file defines `FAMILY`: which foreign keys it translates, which are neutral, and the names of the weights.
Any other key must have the family's default, or the config is refused: a mechanism that we don't have has to
fail, not run wrong. To add a family whose mechanisms exist, add its file here (gemma2.py is one of 38 lines)
and a tiny config of transformers to tests/models/peers.py: the parity tests find both.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from shizuku.checkpoints.translations import Translation
from shizuku.checkpoints.weights import Weight
from shizuku.config import from_dict
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.architectures import config_class, names
from shizuku.models.decoder_config import DecoderConfig

_NEUTRAL = """
_name_or_path architectures attn_implementation bos_token_id chunk_size_feed_forward dtype eos_token_id
id2label initializer_range is_encoder_decoder label2id model_type output_attentions output_hidden_states
pad_token_id problem_type return_dict task_specific_params tokenizer_class torch_dtype transformers_version
transformers.js_config unsloth_fixed unsloth_version use_cache attention_dropout hidden_dropout resid_dropout
embed_dropout resid_pdrop embd_pdrop attn_pdrop classifier_dropout
"""
NEUTRAL = frozenset(_NEUTRAL.split())
"""Keys that don't change what a decoder computes (dropout acts in training only, and is not ours)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """All that is known of one foreign architecture."""

    model_type: str
    """The `model_type` in config.json, which is also the file's name."""
    architecture: str
    """The class that transformers opens it with."""
    ours: str = "decoder"
    """Our architecture, of whose config its members are; see `shizuku.models.architectures`."""
    headed: str | None = None
    """Its class with a head, where that is not the architecture's name with another end."""
    head: str = "score"
    """Name of the head's matrix in that class, without its `.weight`."""
    fixed: Mapping[str, Any]
    """Fields of our config that every member has."""
    translations: tuple[Translation, ...]
    """What the config says, there and here."""
    defaults: Mapping[str, Any]
    """Foreign defaults: of translated keys that are absent, and of the others, which must not differ."""
    neutral: frozenset[str] = frozenset()
    """Keys that this family may have and that change nothing, besides NEUTRAL."""
    prefix: str
    """Before every weight's name but the output matrix's; checkpoints of the bare model lack it."""
    output: str = "lm_head"
    """Name of the output matrix, without its `.weight`."""
    unprefixed: tuple[str, ...] = ()
    """Beginnings of the names of further weights that the prefix doesn't stand before: of heads."""
    weights: tuple[Weight, ...]
    """Every tensor that a member may have; which it has follows from its config."""
    experts: tuple[str, str, str, str] | None = None
    """Where experts are in a layer, and what one's gate, up and down are called; None: it has none."""
    ignored: str | None = None
    """Pattern of tensors that old checkpoints carry and that are no weights."""
    accepts: Callable[[DecoderConfig], bool] = lambda config: True
    """Whether transformers takes such a config, where its own checks are narrower than the mechanisms."""
    gguf_architecture: str | None = None
    """The name of the architecture inside GGUF files; None where there is none."""
    gguf_fixed: Mapping[str, Any] = field(default_factory=dict)
    """Fields of DecoderConfig that GGUF metadata leaves to the architecture, besides `fixed`; and those
    for which llama.cpp asks for, or has, no other tensors."""
    gguf_settings: tuple[Translation, ...] = ()
    """What GGUF metadata says about this architecture besides what it says about all."""
    gguf_permuted: bool = False
    """Whether GGUF keeps query and key rows in the interleaved rotary order."""
    gguf_fused: bool = False
    """Whether GGUF keeps query, key and value in one tensor."""

    def read(self, foreign: Mapping[str, Any]) -> Any:
        """Return our config; a key that is not understood raises CheckpointError with its value."""
        known = {key for translation in self.translations for key in translation.keys}
        for key, value in foreign.items():
            if "layer" in key and isinstance(value, int) and value > MOST_LAYERS:
                raise CheckpointError(f"config key {key!r} = {value:,}: at most {MOST_LAYERS:,} are believed")
            if key in known or key in NEUTRAL or key in self.neutral:
                continue
            if key not in self.defaults or self.defaults[key] != value:
                only = f" (only {self.defaults[key]!r} is)" if key in self.defaults else ""
                raise CheckpointError(
                    f"config key {key!r} = {value!r} is not understood for {self.model_type!r}{only}: "
                    "the model may have a mechanism that is missing here, so it is refused"
                )
        filled = {**self.defaults, **foreign}
        fields = dict(self.fixed)
        try:
            for translation in self.translations:
                fields.update(translation.read(filled))
            return from_dict(config_class(self.ours), fields)
        except KeyError as error:
            raise CheckpointError(
                f"config key {error} is missing for model_type {self.model_type!r}"
            ) from error
        except CheckpointError:
            raise
        except (ConfigError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise CheckpointError(f"the {self.model_type} config does not hold together: {error}") from error

    def write(self, config: Any) -> dict[str, Any] | None:
        """Return the foreign config in its newest spelling, or None if the family cannot express ours."""
        if self.ours != config.ARCHITECTURE:
            return None
        foreign: dict[str, Any] = {"architectures": [self.architecture], "model_type": self.model_type}
        for translation in self.translations:
            foreign.update(translation.write(config))
        try:
            return foreign if self.accepts(config) and self.read(foreign) == config else None
        except CheckpointError:
            return None


MOST_LAYERS = 10_000
"""A number in a file from elsewhere shall not take all memory before its weights are looked at."""
FIRST = ("llama", "gpt2", "qwen2", "qwen3", "mistral")
"""Where several families can express a config, it is written as the first of these, which most programs read;
else as the first in alphabetical order."""


_T5 = "attention biases from relative positions, RMS norms, attention scores without a scale"
_BART = "a norm over embeddings, learned positions that begin at 2"
MISSING = {"t5": _T5, "mt5": _T5, "umt5": _T5, "bart": _BART, "mbart": _BART}
"""Encoder-decoders that are often met, by the mechanisms of theirs that the one here does not have."""


@cache
def families() -> Mapping[str, Family]:
    """Return every family here by its model_type: those of FIRST, then the others in alphabetical order."""
    found = {module.name for module in pkgutil.iter_modules(__path__)}
    names = (*FIRST, *sorted(found - set(FIRST)))
    return {name: importlib.import_module(f"{__name__}.{name}").FAMILY for name in names}


def family_of(model_type: object) -> Family:
    """Return the family of a config.json's `model_type`; an unknown one raises CheckpointError."""
    if isinstance(model_type, str) and model_type in MISSING:
        raise CheckpointError(
            f"model_type {model_type!r} has {MISSING[model_type]}, which the encoder-decoder here has "
            "not; of encoder-decoders marian is known"
        )
    if not isinstance(model_type, str) or model_type not in families():
        known = (*sorted(families()), *(f"shizuku-{name}" for name in names()))
        raise CheckpointError(f"model_type {model_type!r} is not known here; known are {', '.join(known)}")
    return families()[model_type]
