"""Hugging Face directories: config.json and safetensors, both ways. Nothing is ever unpickled.

Torch is imported by the two functions that give tensors, and by no other.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shizuku.checkpoints.expert_tensors import split_experts
from shizuku.checkpoints.families import Family, families, family_of
from shizuku.checkpoints.weights import (
    Source,
    Weight,
    expected_shapes,
    few,
    find_sources,
    take_all,
    to_theirs,
    written_out,
)
from shizuku.config import from_dict, to_dict
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.architectures import config_class, names
from shizuku.models.decoder_config import DecoderConfig

if TYPE_CHECKING:
    from torch import Tensor

OWN = "shizuku-"
"""Begins the model_type, before our architecture's name, of what no Hugging Face architecture can express;
AutoModel refuses it.
"""
NGRAM_MODEL_TYPE, ALIGNMENT_MODEL_TYPE = f"{OWN}ngram", f"{OWN}alignment"
"""The model_types of n-gram and of word-alignment models, which have tables in the place of weights."""
HEADED = "ForSequenceClassification"
"""End of the architectures' names of decoders with a head in the place of the output matrix."""
QUANTIZED_MODEL_TYPE = "shizuku-quantized"
"""The model_type of checkpoints with packed matrices; `original` is the config.json of the float model."""


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


def read_config(directory: str | Path) -> Any:
    """Return the config of a checkpoint directory; what is foreign in it, and a head in the place of the
    output matrix, raises CheckpointError.
    """
    path = Path(directory) / "config.json"
    foreign = read_json(path)
    if is_headed(foreign):
        raise CheckpointError(headed_text(Path(directory), (foreign.get("id2label") or {}).values()))
    try:
        return config_from_huggingface(foreign)
    except CheckpointError as error:
        text = str(error)
        raise (error if str(path) in text else CheckpointError(f"{path}: {text}")) from error


def is_headed(foreign: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a reward model or a classifier."""
    return any(str(name).endswith(HEADED) for name in foreign.get("architectures") or ())


def headed_text(directory: Path, labels: Iterable[object]) -> str:
    """What a directory with a head with these labels is, and which verb uses it."""
    names = list(map(str, labels))
    if len(names) == 1:
        return (
            f"{directory} is a reward model: it gives a text one number and writes none. Use it with "
            f"shizuku align --reward {directory}"
        )
    few_labels = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return (
        f"{directory} is a classifier ({few_labels}): it gives a text a label and writes none. Use it with "
        f"shizuku classify {directory} --predict FILE"
    )


def config_from_huggingface(foreign: Mapping[str, Any]) -> Any:
    """Return our config for the keys of a config.json; see `families` for what is refused."""
    if foreign.get("model_type") == QUANTIZED_MODEL_TYPE:
        original = foreign.get("original")
        if not isinstance(original, Mapping) or original.get("model_type") == QUANTIZED_MODEL_TYPE:
            raise CheckpointError("original, the config of the float model, is missing")
        return config_from_huggingface(original)
    if foreign.get("model_type") == NGRAM_MODEL_TYPE:
        raise CheckpointError(
            "this is an n-gram model: it has tables and no layers. It can generate, be evaluated and served, "
            "and be written with shizuku export --format arpa"
        )
    if foreign.get("model_type") == ALIGNMENT_MODEL_TYPE:
        raise CheckpointError(
            "this is a word-alignment model: it says which word of one text stands for which of another, and "
            "is opened by shizuku.load alone (shizuku word-align makes it)"
        )
    own = own_architecture(foreign.get("model_type"))
    if own is None:
        return family_of(foreign.get("model_type")).read(foreign)
    neutral = ("model_type", "architectures", "dtype", "bos_token_id", "eos_token_id", "pad_token_id")
    try:
        values = {key: value for key, value in foreign.items() if key not in neutral}
        return from_dict(config_class(own), values)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def load_weights(directory: str | Path, config: Any = None) -> "dict[str, Tensor]":
    """Return the weights of a checkpoint directory under our names, in float32.

    Reads model.safetensors or the shards that model.safetensors.index.json lists. Tensors that are missing,
    unexpected or of the wrong shape, and files that are damaged or absent, raise CheckpointError naming them.
    """
    import torch

    directory = Path(directory)
    config = config or read_config(directory)
    tensors = single_experts(directory, stored_tensors(directory))
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    floats = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    try:
        model_type = read_json(directory / "config.json").get("model_type")
        sources = directory_sources(
            model_type, config, shapes, same=lambda one, other: torch.equal(tensors[one], tensors[other])
        )
        for name in {source.theirs for source in sources}:
            if tensors[name].dtype not in floats:
                raise CheckpointError(
                    f"tensor {name} is of type {tensors[name].dtype}; expected floating-point weights"
                )
    except CheckpointError as error:
        raise CheckpointError(f"{directory}: {error}") from error
    return {source.ours: rows.to(torch.float32).contiguous() for source, rows in take_all(sources, tensors)}


def stored_tensors(directory: Path) -> "dict[str, Tensor]":
    """Return all tensors of a directory's safetensors files, under the names and in the types stored."""
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        tensors.update(_read_safetensors(path))
    return tensors


def single_experts(directory: Path, tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """The tensors of a directory, each expert with its own: those that stand for all experts are split."""
    model_type = read_json(directory / "config.json").get("model_type")
    family = family_of_type(model_type) if own_architecture(model_type) is None else None
    return tensors if family is None or family.experts is None else split_experts(family.experts, tensors)


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


def _read_safetensors(path: Path) -> "Iterator[tuple[str, Tensor]]":
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (safe_open is no mapping)
                yield name, opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error


def directory_sources(
    model_type: object,
    config: DecoderConfig,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    same: Callable[[str, str], bool],
) -> list[Source]:
    """Return where each of our tensors is found among those of a directory, given its model_type and their
    shapes.

    `same` says whether two of them are equal: a tied output matrix may stand in the file beside the
    embedding. Tensors that are missing, unexpected or of the wrong shape raise CheckpointError naming them.
    """
    if own_architecture(model_type) is not None:
        own = tuple(Weight(theirs=name, ours=(name,)) for name in expected_shapes(config))
        sources, strangers = find_sources(own, config, shapes, lambda name: (name,))
    else:
        family = family_of(model_type)
        prefixed = partial(_written, family)
        sources, strangers = find_sources(family.weights, config, shapes, lambda bare: (prefixed(bare), bare))
        strangers = _without_harmless(family, config, strangers, {s.ours: s.theirs for s in sources}, same)
    if strangers:
        raise CheckpointError(f"{len(strangers)} tensors are not part of the model: {few(strangers)}")
    return sources


def _without_harmless(
    family: Family,
    config: DecoderConfig,
    strangers: list[str],
    found: Mapping[str, str],
    same: Callable[[str, str], bool],
) -> list[str]:
    if family.ignored is not None:
        ignored = re.compile(family.ignored)
        strangers = [name for name in strangers if not ignored.fullmatch(name.removeprefix(family.prefix))]
    output = f"{family.output}.weight"
    if config.tie_embeddings and output in strangers:
        if not same(found["embedding.weight"], output):
            raise CheckpointError(f"the config ties the embeddings, but {output} differs from the embedding")
        strangers.remove(output)
    return strangers


def _written(family: Family, bare: str) -> str:
    apart = bare.startswith((f"{family.output}.", *family.unprefixed))
    return bare if apart else f"{family.prefix}{bare}"


def family_of_type(model_type: object) -> Family | None:
    """Return the family of a model_type, or None for what no Hugging Face architecture expresses."""
    return None if own_architecture(model_type) is not None else family_of(model_type)


def own_architecture(model_type: object) -> str | None:
    """Return our architecture's name where a model_type is one of our own, else None."""
    text = str(model_type)
    name = text.removeprefix(OWN)
    return name if text.startswith(OWN) and name in names() else None


def architecture_at(path: Path) -> str:
    """Return the name of our architecture that a directory's config.json is of; "decoder" for everything that
    is none, or not known, and is told so where it is opened.
    """
    if not (path / "config.json").is_file():
        return "decoder"
    foreign: Mapping[str, Any] = read_json(path / "config.json")
    if foreign.get("model_type") == QUANTIZED_MODEL_TYPE and isinstance(foreign.get("original"), Mapping):
        foreign = foreign["original"]
    model_type = foreign.get("model_type")
    family = families().get(model_type) if isinstance(model_type, str) else None
    return own_architecture(model_type) or ("decoder" if family is None else family.ours)


def huggingface_family(config: Any) -> Family | None:
    """Return the first family that can express the config (see `families` for their order), or None."""
    return next((family for family in families().values() if family.write(config) is not None), None)


def to_huggingface(
    config: Any, state_dict: "Mapping[str, Tensor]"
) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """Return the keys of config.json and the tensors of model.safetensors, as transformers opens them.

    A config that no family expresses gets a model_type of ours ("shizuku-decoder") and our keys and names.
    """
    dtype = str(next(iter(state_dict.values())).dtype).removeprefix("torch.")
    family = huggingface_family(config)
    if family is None:
        return (
            {"model_type": f"{OWN}{config.ARCHITECTURE}", "dtype": dtype, **to_dict(config)},
            {name: tensor.detach().contiguous() for name, tensor in state_dict.items()},
        )
    foreign = family.write(config)
    assert foreign is not None, "the family was chosen because it can write this config"
    tensors = {
        _written(family, entry.theirs): to_theirs(entry, state_dict)
        for entry in written_out(family.weights, config, state_dict)
    }
    return {**foreign, "dtype": dtype}, tensors
