"""Adapters put on a model's linear layers, chosen among, taken out as arrays, merged, and taken off again.

Layers are named as in the decoder (`blocks.0.attention.query`), also where the decoder has a head. At most
one adapter is active at a time.
"""

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.layers import AdaptedLinear, Base, LowRankPair, adapted_layers, size_of
from shizuku.adapters.weights import AdapterWeights, LowRank, check_low_rank
from shizuku.errors import ConfigError, ModelError
from shizuku.models.accompanied import Accompanied
from shizuku.models.heads import HeadedDecoder
from shizuku.quantization.layers import QuantizedLinear
from shizuku.quantization.surgery import put_layer

DEFAULT = "default"
_NOTES = "adapter_notes"


@dataclass(slots=True)
class _Notes:
    """What is known of a model's adapters besides their numbers."""

    configs: dict[str, AdapterConfig] = field(default_factory=dict)
    bases: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    """Name and digest of the base that an adapter says it is for."""
    frozen: list[str] = field(default_factory=list)
    """Parameters that were trainable before the first adapter came."""


def attach(model: nn.Module, config: AdapterConfig, *, name: str = DEFAULT, seed: int = 0) -> None:
    """Put a new adapter on the layers that the config's targets match; it becomes active and trainable.

    Everything else of the decoder, earlier adapters included, is frozen; a head on it stays as it is. The
    model computes what it did until B moves. Raises ConfigError for rank 0, a rank larger than a matrix,
    targets that match nothing, and a name that is taken.
    """
    if config.rank == 0:
        raise ConfigError("--lora.rank 0 is no adapter: give a rank of 1 or more")
    draw = torch.Generator().manual_seed(seed)
    bases = targeted(model, config)
    layer, base = min(bases.items(), key=lambda item: min(size_of(item[1])))
    smallest = min(size_of(base))
    if config.rank > smallest:
        raise ConfigError(
            f"--lora.rank {config.rank}: the matrix of {layer} is {size_of(base)[0]} x "
            f"{size_of(base)[1]}: give at most {smallest}, or other --lora.targets"
        )
    _admit(model, name)
    pairs = {layer: LowRankPair(base, config.rank, config) for layer, base in bases.items()}
    for layer, pair in pairs.items():
        pair.start(bases[layer], draw)
    _put(model, name, config, pairs)
    train_adapter(model, name)


def put_weights(model: nn.Module, weights: AdapterWeights, *, name: str = DEFAULT) -> None:
    """Put an adapter with these weights on the model, frozen and active; to train it, see `train_adapter`.

    Raises ConfigError for a name that is taken, ModelError for layers that the model lacks or that have
    another size, and for numbers that are NaN or infinite.
    """
    pairs = frozen_pairs(model, weights)
    _admit(model, name)
    _put(model, name, weights.config, pairs)
    _notes(model).bases[name] = (weights.base, weights.base_digest)


def frozen_pairs(model: nn.Module, weights: AdapterWeights) -> dict[str, LowRankPair]:
    """An adapter's modules for the layers that it is on, not on the model; ModelError as `put_weights`."""
    layers = linear_layers(model)
    pairs = {}
    for layer, low_rank in weights.layers.items():
        if layer not in layers:
            raise ModelError(f"the adapter is on {layer}, which this model has not: it is for another base")
        check_low_rank(layer, low_rank, size_of(layers[layer]), dora=weights.config.dora)
        pair = LowRankPair(layers[layer], len(low_rank.a_RI), weights.config)
        _fill(pair, low_rank)
        pairs[layer] = pair.requires_grad_(False)
    if not pairs:
        raise ModelError("the adapter is on no layer")
    return pairs


def name_base(model: nn.Module, base: str | None, digest: str | None, *, name: str | None = None) -> None:
    """Note the base's name or path and its digest for an adapter, the active one by default."""
    _notes(model).bases[chosen(model, name)] = (base, digest)


def change_weights(model: nn.Module, weights: AdapterWeights, *, name: str | None = None) -> None:
    """Give an adapter that is on the model, the active one by default, other numbers, in place.

    ModelError if it is not on the same layers with the same ranks.
    """
    name = chosen(model, name)
    pairs = pairs_of(model, name)
    if set(pairs) != set(weights.layers):
        odd = min(set(pairs) ^ set(weights.layers))
        raise ModelError(f"the adapters are on different layers: only one of the two is on {odd}")
    for layer, low_rank in weights.layers.items():
        pair = pairs[layer]
        shape = (len(pair.b_OR), pair.a_RI.shape[1])
        check_low_rank(layer, low_rank, shape, dora=pair.length_O is not None)
        if len(low_rank.a_RI) != len(pair.a_RI):
            raise ModelError(f"{layer}: rank {len(low_rank.a_RI)}, but {len(pair.a_RI)} in the model")
    for layer, low_rank in weights.layers.items():
        _fill(pairs[layer], low_rank)


def adapter_weights(model: nn.Module, name: str | None = None) -> AdapterWeights:
    """Copies of an adapter's numbers, of the active one by default; ModelError if there is none."""
    name = chosen(model, name)
    notes = _notes(model)
    layers = {
        layer: LowRank(
            _array(pair.a_RI), _array(pair.b_OR), None if pair.length_O is None else _array(pair.length_O)
        )
        for layer, pair in pairs_of(model, name).items()
    }
    base, digest = notes.bases.get(name, (None, None))
    return AdapterWeights(notes.configs[name], layers, base_digest=digest, base=base)


def detach(model: nn.Module, name: str | None = None) -> None:
    """Take one adapter off, or all; with the last one the model is what it was before the first.

    ModelError for a name that is not there.
    """
    notes, decoder = _notes(model), decoder_of(model)
    gone = list(notes.configs) if name is None else [chosen(model, name)]
    for layer, adapted in list(adapted_layers(decoder)):
        for each in gone:
            adapted.drop(each)
        if not adapted.names():
            put_layer(decoder, layer, adapted.base)
    for each in gone:
        notes.configs.pop(each)
        notes.bases.pop(each, None)
    if not notes.configs:
        parameters = dict(decoder.named_parameters())
        for frozen in notes.frozen:
            parameters[frozen].requires_grad_(True)
        delattr(decoder, _NOTES)


def merge(model: nn.Module, name: str | None = None) -> None:
    """Fold an adapter, the active one by default, into the matrices; all adapters are gone after it.

    A packed matrix becomes the float one that it stands for, with the adapter added: rounding the sum again,
    or adding to the numbers that were once packed, would give another model. ModelError if there is none.
    """
    name, decoder = chosen(model, name), decoder_of(model)
    merged = {
        layer: adapted.merged(name)
        for layer, adapted in adapted_layers(decoder)
        if adapted.pair(name) is not None
    }
    detach(model)
    for layer, new in merged.items():
        old = decoder.get_submodule(layer)
        assert isinstance(old, Base), "adapters stand beside linear layers"
        if isinstance(old, QuantizedLinear):
            put_layer(decoder, layer, new)
        else:
            with torch.no_grad():
                old.weight.copy_(new.weight)


def activate(model: nn.Module, name: str | None) -> None:
    """Let this adapter act, and no other; None: the base alone. ModelError if it is not there."""
    if name is not None:
        chosen(model, name)
    for _, layer in adapted_layers(decoder_of(model)):
        layer.active = name


def train_adapter(model: nn.Module, name: str | None = None) -> None:
    """Make an adapter, the active one by default, active and the only trainable part of the decoder."""
    name, decoder = chosen(model, name), decoder_of(model)
    decoder.requires_grad_(False)
    for pair in pairs_of(model, name).values():
        pair.requires_grad_(True)
    activate(model, name)


@contextmanager
def disabled(model: nn.Module) -> Iterator[None]:
    """Inside the `with`, the model computes what its base alone does: the reference of DPO and PPO."""
    before = [(layer, layer.active) for _, layer in adapted_layers(model)]
    try:
        for layer, _ in before:
            layer.active = None
        yield
    finally:
        for layer, active in before:
            layer.active = active


def is_adapted(model: nn.Module) -> bool:
    """Whether there is any adapter on the model."""
    return hasattr(decoder_of(model), _NOTES)


def adapter_names(model: nn.Module) -> list[str]:
    """The adapters on the model, in the order in which they came."""
    return list(_notes(model).configs) if is_adapted(model) else []


def active_adapter(model: nn.Module) -> str | None:
    """The name of the adapter that acts; None: the base alone."""
    return next((layer.active for _, layer in adapted_layers(model) if layer.active is not None), None)


def adapter_config(model: nn.Module, name: str | None = None) -> AdapterConfig:
    """An adapter's config, of the active one by default; ModelError if there is none."""
    return _notes(model).configs[chosen(model, name)]


def drops(model: nn.Module) -> bool:
    """Whether a training step of the active adapter leaves inputs out, for which it draws numbers."""
    active = active_adapter(model)
    return active is not None and adapter_config(model, active).dropout > 0


def pairs_of(model: nn.Module, name: str) -> dict[str, LowRankPair]:
    """The parameters of an adapter, by layer."""
    found = {layer: adapted.pair(name) for layer, adapted in adapted_layers(decoder_of(model))}
    return {layer: pair for layer, pair in found.items() if pair is not None}


def linear_layers(model: nn.Module) -> dict[str, Base]:
    """The linear layers of the blocks that can have an adapter, without those they have, by name.

    The output matrix is none of them: losses and samplers multiply by it on their own.
    """
    found: dict[str, Base] = {}
    for name, module in decoder_of(model).named_modules():
        if not name.startswith("blocks."):
            continue
        if isinstance(module, AdaptedLinear):
            found[name] = module.base
        elif isinstance(module, Base) and not name.endswith(".base"):
            found[name] = module
    return found


def targeted(model: nn.Module, config: AdapterConfig) -> dict[str, Base]:
    """The layers that the config's targets match; ConfigError for a pattern that matches none."""
    layers = linear_layers(model)
    if not layers:
        raise ModelError(
            "adapters are not supported for this architecture: they stand beside linear layers, of "
            "which its blocks have none; train all of the model, without --lora.rank"
        )
    wanted: set[str] = set()
    for pattern in config.targets:
        matching = fnmatch.filter(layers, pattern)
        if not matching:
            kinds = dict.fromkeys(".".join(["blocks.*", *layer.split(".")[2:]]) for layer in layers)
            raise ConfigError(
                f"--lora.targets {pattern}: no linear layer of the blocks matches; there are "
                f"{', '.join(kinds)}"
            )
        wanted.update(matching)
    return {name: base for name, base in layers.items() if name in wanted}


def decoder_of(model: nn.Module) -> nn.Module:
    """The decoder inside a model with a head or company, else the model."""
    return model.decoder if isinstance(model, HeadedDecoder | Accompanied) else model


def chosen(model: nn.Module, name: str | None) -> str:
    """The name as it is, or that of the active adapter; ModelError if there is none."""
    name = active_adapter(model) if name is None else name
    if name is None or name not in adapter_names(model):
        there = ", ".join(adapter_names(model)) or "none"
        raise ModelError(f"no adapter {'is active' if name is None else repr(name)} (there: {there})")
    return name


def _admit(model: nn.Module, name: str) -> None:
    if not name:
        raise ConfigError("an adapter needs a name")
    if name in adapter_names(model):
        raise ConfigError(f"there is an adapter {name!r} on this model already: give another name")


def _put(model: nn.Module, name: str, config: AdapterConfig, pairs: dict[str, LowRankPair]) -> None:
    decoder = decoder_of(model)
    if not is_adapted(model):
        frozen = [each for each, parameter in decoder.named_parameters() if parameter.requires_grad]
        setattr(decoder, _NOTES, _Notes(frozen=frozen))
        decoder.requires_grad_(False)
    for layer, pair in pairs.items():
        place = decoder.get_submodule(layer)
        if not isinstance(place, AdaptedLinear):
            assert isinstance(place, Base), "adapters stand beside linear layers"
            base, place = place, AdaptedLinear(place)
            put_layer(decoder, layer, place.train(base.training))
        place.put(name, pair.train(place.training))
    _notes(model).configs[name] = replace(config)
    activate(model, name)


def _notes(model: nn.Module) -> _Notes:
    notes = getattr(decoder_of(model), _NOTES, None)
    if not isinstance(notes, _Notes):
        raise ModelError("there is no adapter on this model")
    return notes


@torch.no_grad()
def _fill(pair: LowRankPair, low_rank: LowRank) -> None:
    pair.a_RI.copy_(torch.from_numpy(low_rank.a_RI))
    pair.b_OR.copy_(torch.from_numpy(low_rank.b_OR))
    if pair.length_O is not None and low_rank.length_O is not None:
        pair.length_O.copy_(torch.from_numpy(low_rank.length_O))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy().copy()
