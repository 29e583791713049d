"""Adapters in PEFT's format: its config and its tensors' names, both ways. Nothing here needs torch.

Legend: `R` rank, `I` inputs, `O` outputs. Where the foreign model has several of our layers in one matrix
(GPT-2's query, key and value), an adapter on that matrix is one on each of ours with the same A; the other
way their As are stacked, so that the foreign rank is the sum of ours.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.weights import AdapterWeights, LowRank
from shizuku.checkpoints.huggingface import huggingface_family
from shizuku.checkpoints.weights import Source, Weight, written_out
from shizuku.errors import CheckpointError
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes

PREFIX = "base_model.model."
NEUTRAL = frozenset(
    {
        "peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping",
        "r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora", "rank_pattern",
        "alpha_pattern", "fan_in_fan_out", "init_lora_weights", "peft_version", "megatron_core",
        "exclude_modules", "layers_pattern", "layers_to_transform", "loftq_config", "eva_config",
        "corda_config", "runtime_config", "qalora_group_size",
    }
)  # fmt: skip
"""Keys that are translated, or say where an adapter is, which its tensors show, or how it was begun."""
_TENSOR = re.compile(r"^(?:base_model\.model\.)?(.+)\.(lora_A|lora_B|lora_magnitude_vector)(?:\.weight)?$")
_CHANGING_BASE = ("pissa", "olora", "corda", "loftq")
"""Ways of beginning that take something out of the base: the adapter is for what was left of it."""
_PARTS = {"lora_A": "a", "lora_B": "b", "lora_magnitude_vector": "length"}


def to_peft(config: DecoderConfig, weights: AdapterWeights) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The keys of adapter_config.json and the tensors of adapter_model.safetensors.

    The names are those of the base in transformers, or ours where it has no such architecture.
    """
    tensors: dict[str, np.ndarray] = {}
    ranks: dict[str, int] = {}
    for module, entry in _modules(config):
        parts = [weights.layers.get(name.removesuffix(".weight")) for name in entry.ours]
        if not any(parts):
            continue
        stacked = _stacked(config, entry, parts, dora=weights.config.dora)
        ranks[module] = len(stacked.a_RI)
        tensors[f"{PREFIX}{module}.lora_A.weight"] = stacked.a_RI
        tensors[f"{PREFIX}{module}.lora_B.weight"] = stacked.b_OR
        if stacked.length_O is not None:
            tensors[f"{PREFIX}{module}.lora_magnitude_vector"] = stacked.length_O
    own = weights.config
    fused = {module: rank for module, rank in ranks.items() if rank != own.rank}
    alpha = own.scale * (own.rank**0.5 if own.rank_stabilised else own.rank)
    growth = {module: rank / own.rank for module, rank in fused.items()}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": weights.base,
        "r": own.rank,
        "lora_alpha": alpha,
        "lora_dropout": own.dropout,
        "target_modules": sorted(ranks),
        "use_rslora": own.rank_stabilised,
        "use_dora": own.dora,
        # The scale of a stacked adapter stays what it was.
        "rank_pattern": {f"^{re.escape(module)}$": rank for module, rank in fused.items()},
        "alpha_pattern": {
            f"^{re.escape(module)}$": alpha * (more**0.5 if own.rank_stabilised else more)
            for module, more in growth.items()
        },
        "fan_in_fan_out": any(entry.transposed for _, entry in _modules(config)),
        "bias": "none",
        "inference_mode": True,
    }, tensors


def from_peft(
    config: DecoderConfig, foreign: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> AdapterWeights:
    """The adapter for a base of this config.

    Raises CheckpointError for other kinds than LoRA, for mechanisms that don't exist here, for ranks or
    scales that differ between layers, and for tensors that belong to no layer of the base.
    """
    own = _own_config(foreign)
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in tensors.items():
        match = _TENSOR.match(name)
        if match is None:
            raise CheckpointError(f"{name}: no tensor of a LoRA adapter on linear layers")
        found.setdefault(match[1], {})[_PARTS[match[2]]] = np.asarray(array, dtype=np.float32)
    layers: dict[str, LowRank] = {}
    for module, entry in _modules(config):
        parts = found.pop(module, None)
        if parts is None:
            continue
        if not {"a", "b"} <= parts.keys() or ("length" in parts) != own.dora:
            raise CheckpointError(f"{module}: the adapter has only {', '.join(sorted(parts))} of its tensors")
        rank, alpha = _pattern(foreign, "rank", module, own.rank), _pattern(foreign, "alpha", module, None)
        if len(parts["a"]) != rank:
            raise CheckpointError(f"{module}: rank {len(parts['a'])}, but {rank} in the config")
        taken = _taken(config, entry, parts)
        if rank != own.rank or alpha is not None:
            taken = _unstacked(own, entry, taken, rank=rank, alpha=alpha)
        layers.update(taken)
    if found:
        raise CheckpointError(f"{min(found)} is no linear layer of this base: the adapter is for another")
    if not layers:
        raise CheckpointError("the adapter holds no tensors")
    return AdapterWeights(own, layers, base=foreign.get("base_model_name_or_path"))


def _own_config(foreign: Mapping[str, Any]) -> AdapterConfig:
    if foreign.get("peft_type") != "LORA":
        raise CheckpointError(f"peft_type is {foreign.get('peft_type')!r}; LORA alone is known")
    begun = foreign.get("init_lora_weights")
    if isinstance(begun, str) and begun.lower().startswith(_CHANGING_BASE):
        raise CheckpointError(
            f"init_lora_weights is {begun!r}: the adapter is for what that left of the base, not for the base"
        )
    for key, value in foreign.items():
        if key in NEUTRAL or value in (None, False, "none", "", [], {}):
            continue
        raise CheckpointError(f"{key} is {value!r}: this is not known here, and would be left out")
    try:
        return AdapterConfig(
            rank=int(foreign["r"]),
            alpha=float(foreign["lora_alpha"]),
            dropout=float(foreign.get("lora_dropout") or 0),
            rank_stabilised=bool(foreign.get("use_rslora")),
            dora=bool(foreign.get("use_dora")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"r, lora_alpha and lora_dropout: expected numbers ({type(error).__name__}: {error})"
        ) from error


def _pattern(foreign: Mapping[str, Any], what: str, module: str, otherwise: Any) -> Any:
    """What rank_pattern or alpha_pattern say of a module; as in PEFT a key is the end of its name."""
    patterns = foreign.get(f"{what}_pattern") or {}
    fitting = (value for key, value in patterns.items() if re.match(rf"(?:.*\.)?({key})$", module))
    return next(fitting, otherwise)


def _modules(config: DecoderConfig) -> Iterator[tuple[str, Weight]]:
    """The linear layers of the blocks as they are in transformers, with our layers in each; as they are here
    where no architecture of transformers has the config's mechanisms.
    """
    family, shapes = huggingface_family(config), parameter_shapes(config)
    prefix, table = "", tuple(Weight(theirs=name, ours=(name,)) for name in shapes)
    if family is not None:
        prefix, table = family.prefix, tuple(written_out(family.weights, config, shapes))
    for entry in table:
        matrix = entry.theirs.endswith(".weight") and len(shapes[entry.ours[0]]) == 2
        if matrix and entry.ours[0].startswith("blocks."):
            yield prefix + entry.theirs.removesuffix(".weight"), entry


def _sources(config: DecoderConfig, entry: Weight) -> list[Source]:
    """Where our layers' rows stand among the outputs of the foreign one."""
    shapes, before, found = parameter_shapes(config), 0, []
    for name in entry.ours:
        # B has the outputs first, whichever way the matrix itself is stored.
        found.append(Source(name, shapes[name], entry.theirs, replace(entry, transposed=False), before))
        before += shapes[name][0] // entry.groups
    return found


def _taken(config: DecoderConfig, entry: Weight, parts: Mapping[str, np.ndarray]) -> dict[str, LowRank]:
    outputs = sum(source.shape[0] for source in _sources(config, entry))
    if parts["b"].shape != (outputs, len(parts["a"])):
        raise CheckpointError(
            f"{entry.theirs}: B is {parts['b'].shape}, expected {(outputs, len(parts['a']))}"
        )
    length_O = parts.get("length")
    return {
        source.ours.removesuffix(".weight"): LowRank(
            parts["a"],
            source.take(parts["b"]),
            None if length_O is None else source.take(length_O.reshape(-1, 1)).reshape(-1),
        )
        for source in _sources(config, entry)
    }


def _unstacked(
    own: AdapterConfig, entry: Weight, taken: dict[str, LowRank], *, rank: int, alpha: float | None
) -> dict[str, LowRank]:
    """Our layers' adapters out of one that `_stacked` made; CheckpointError for other ranks and scales."""
    growth = len(entry.ours)
    own_alpha = own.scale * (own.rank**0.5 if own.rank_stabilised else own.rank)
    expected = own_alpha * (growth**0.5 if own.rank_stabilised else growth)
    found = {}
    stacked = growth > 1 and rank == growth * own.rank and alpha is not None
    for number, (layer, low_rank) in enumerate(taken.items()):
        block = slice(number * own.rank, (number + 1) * own.rank)
        a_RI, b_OR = low_rank.a_RI[block], low_rank.b_OR[:, block]
        stacked = stacked and np.count_nonzero(low_rank.b_OR) == np.count_nonzero(b_OR)
        if a_RI.any():
            found[layer] = LowRank(a_RI, b_OR)
    if not stacked or abs(float(alpha or 0) - expected) > 1e-9 * expected:
        raise CheckpointError(
            f"{entry.theirs}: rank_pattern and alpha_pattern give it rank {rank} and alpha {alpha}; one rank "
            "and scale for all layers is known"
        )
    return found


def _stacked(config: DecoderConfig, entry: Weight, parts: list[LowRank | None], *, dora: bool) -> LowRank:
    """One adapter on the foreign matrix that is the given ones on ours, zeros for those that are missing."""
    if len(parts) == 1:
        assert parts[0] is not None, "the caller has looked"
        return parts[0]
    if dora:
        raise CheckpointError(
            f"{entry.theirs} is {len(parts)} layers here, and a DoRA adapter on them can't be one on it"
        )
    sources = _sources(config, entry)
    rank, inputs = next((len(part.a_RI), part.a_RI.shape[1]) for part in parts if part is not None)
    a_RI = np.zeros((len(parts) * rank, inputs), np.float32)
    b_OR = np.zeros((sum(source.shape[0] for source in sources), len(a_RI)), np.float32)
    numbers = np.arange(len(b_OR))[:, None]
    for place, (source, part) in enumerate(zip(sources, parts, strict=True)):
        if part is not None:
            block = slice(place * rank, (place + 1) * rank)
            a_RI[block] = part.a_RI
            b_OR[source.take(numbers)[:, 0], block] = part.b_OR
    return LowRank(a_RI, b_OR)
