"""Hugging Face directories: config.json and safetensors, both ways. Nothing is ever unpickled."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from shizuku.checkpoints.families import Family, Weight, families, family_of
from shizuku.config import from_dict, to_dict
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.decoder import Decoder, DecoderConfig

OWN_MODEL_TYPE = "shizuku-decoder"
"""The model_type of decoders that no Hugging Face architecture can express; AutoModel refuses it."""

_FLOATS = {torch.float32, torch.float16, torch.bfloat16, torch.float64}
_OUTPUT = "lm_head.weight"


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; anything else raises CheckpointError naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {type(value).__name__}, expected a JSON object")
    return value


def read_config(directory: str | Path) -> DecoderConfig:
    """Return the config of a checkpoint directory; what is foreign in it raises CheckpointError."""
    path = Path(directory) / "config.json"
    try:
        return config_from_huggingface(read_json(path))
    except CheckpointError as error:
        text = str(error)
        raise (error if str(path) in text else CheckpointError(f"{path}: {text}")) from error


def config_from_huggingface(foreign: Mapping[str, Any]) -> DecoderConfig:
    """Return our config for the keys of a config.json; see `families` for what is refused."""
    if foreign.get("model_type") != OWN_MODEL_TYPE:
        known = (*families(), OWN_MODEL_TYPE)
        if foreign.get("model_type") not in known:
            raise CheckpointError(
                f"model_type {foreign.get('model_type')!r} is not known here; known are {', '.join(known)}"
            )
        return family_of(foreign["model_type"]).read(foreign)
    neutral = ("model_type", "architectures", "dtype", "bos_token_id", "eos_token_id", "pad_token_id")
    try:
        return from_dict(DecoderConfig, {key: value for key, value in foreign.items() if key not in neutral})
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def expected_shapes(config: DecoderConfig) -> dict[str, torch.Size]:
    """Return the name and shape of every parameter that a decoder of this config has."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in Decoder(config).state_dict().items()}


def load_weights(directory: str | Path, config: DecoderConfig | None = None) -> dict[str, Tensor]:
    """Return the weights of a checkpoint directory under our names, in float32.

    Reads model.safetensors or the shards that model.safetensors.index.json lists. Tensors that are missing,
    unexpected or of the wrong shape, and files that are damaged or absent, raise CheckpointError naming them.
    """
    directory = Path(directory)
    config = config or read_config(directory)
    model_type = read_json(directory / "config.json").get("model_type")
    family = None if model_type == OWN_MODEL_TYPE else family_of(model_type)
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        tensors.update(_read_safetensors(path))
    try:
        return from_huggingface_tensors(family, config, tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{directory}: {error}") from error


def weight_files(directory: Path) -> list[Path]:
    """Return the safetensors files that hold a directory's weights; their absence raises CheckpointError."""
    single, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        pickled = sorted(path.name for path in directory.glob("*.bin")) + sorted(
            path.name for path in directory.glob("*.pt*")
        )
        if pickled:
            raise CheckpointError(
                f"{directory} has its weights in {pickled[0]}, a pickle, which can run code when opened: "
                "convert it with transformers (from_pretrained, then save_pretrained)"
            )
        raise CheckpointError(f"{directory} has neither model.safetensors nor model.safetensors.index.json")
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(f"{index} names the shard {name!r}, which is not a file of its directory")
        if not (directory / name).is_file():
            raise CheckpointError(f"{index} names the shard {name}, which is missing")
    return [directory / name for name in names]


def _read_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (safe_open is no mapping)
                yield name, opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error


def expand(
    weights: tuple[Weight, ...], config: DecoderConfig, expected: Mapping[str, object]
) -> Iterator[tuple[Weight, str, tuple[str, ...]]]:
    """Yield every entry that a config has, with its foreign name and our names written out."""
    for entry in weights:
        for n in range(config.layers) if "{n}" in entry.theirs else (0,):
            ours = tuple(name.format(n=n) for name in entry.ours)
            if ours[0] in expected:
                yield entry, entry.theirs.format(n=n), ours


def from_huggingface_tensors(
    family: Family | None, config: DecoderConfig, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return foreign tensors under our names in float32; None as family means that they are ours already."""
    expected = expected_shapes(config)
    found: dict[str, Tensor] = {}
    used, missing = set(), []
    if family is None:
        entries: list[tuple[Weight, str, tuple[str, ...]]] = [
            (Weight(theirs=name, ours=(name,)), name, (name,)) for name in expected
        ]
    else:
        entries = list(expand(family.weights, config, expected))
    for entry, bare, ours in entries:
        named = [f"{'' if family is None else family.prefix}{bare}", bare]
        name = next((candidate for candidate in named if candidate in tensors), None)
        if name is None:
            missing.append(_written(family, bare))
            continue
        used.add(name)
        shapes = [expected[our_name] for our_name in ours]
        found.update(zip(ours, _split(name, tensors[name], shapes, entry.transposed), strict=True))
    if missing:
        raise CheckpointError(f"{len(missing)} tensors are missing: {_few(missing)}")
    _refuse_strangers(family, config, tensors, used)
    return found


def _split(name: str, tensor: Tensor, shapes: list[torch.Size], transposed: bool) -> list[Tensor]:
    if tensor.dtype not in _FLOATS:
        raise CheckpointError(f"tensor {name} is of type {tensor.dtype}; expected floating-point weights")
    stacked = torch.Size((sum(shape[0] for shape in shapes), *shapes[0][1:]))
    wanted = torch.Size(reversed(stacked)) if transposed else stacked
    if tensor.shape != wanted:
        raise CheckpointError(f"tensor {name} has shape {list(tensor.shape)}; the config says {list(wanted)}")
    tensor = tensor.to(torch.float32)
    parts = (tensor.t() if transposed else tensor).split([shape[0] for shape in shapes])
    return [part.contiguous() for part in parts]


def _refuse_strangers(
    family: Family | None, config: DecoderConfig, tensors: Mapping[str, Tensor], used: set[str]
) -> None:
    prefix = "" if family is None else family.prefix
    strangers = sorted(set(tensors) - used)
    if family is not None and family.ignored is not None:
        strangers = [
            name for name in strangers if not re.fullmatch(family.ignored, name.removeprefix(prefix))
        ]
    if family is not None and config.tie_embeddings and _OUTPUT in strangers:
        tied_to = next(entry.theirs for entry in family.weights if entry.ours == ("embedding.weight",))
        embedding = tensors.get(prefix + tied_to, tensors.get(tied_to))
        if embedding is None or not torch.equal(embedding, tensors[_OUTPUT]):
            raise CheckpointError(f"the config ties the embeddings, but {_OUTPUT} differs from the embedding")
        strangers.remove(_OUTPUT)
    if strangers:
        raise CheckpointError(f"{len(strangers)} tensors are not part of the model: {_few(strangers)}")


def _written(family: Family | None, bare: str) -> str:
    return bare if family is None or bare == _OUTPUT else f"{family.prefix}{bare}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def huggingface_family(config: DecoderConfig) -> Family | None:
    """Return the first family that can express the config, or None."""
    return next((family for family in families().values() if family.write(config) is not None), None)


def to_huggingface(
    config: DecoderConfig, state_dict: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the keys of config.json and the tensors of model.safetensors, as transformers opens them.

    A config that no family expresses gets model_type "shizuku-decoder" with our own keys and names.
    """
    dtype = str(next(iter(state_dict.values())).dtype).removeprefix("torch.")
    family = huggingface_family(config)
    if family is None:
        return (
            {"model_type": OWN_MODEL_TYPE, "dtype": dtype, **to_dict(config)},
            {name: tensor.detach().contiguous() for name, tensor in state_dict.items()},
        )
    foreign = family.write(config)
    assert foreign is not None, "the family was chosen because it can write this config"
    name_of = partial(_written, family)
    tensors = {}
    for entry, bare, ours in expand(family.weights, config, state_dict):
        stacked = torch.cat([state_dict[name].detach() for name in ours])
        tensors[name_of(bare)] = (stacked.t() if entry.transposed else stacked).contiguous()
    return {**foreign, "dtype": dtype}, tensors
