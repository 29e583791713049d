"""A GGUF file as a torch model whose blocks stay packed: the base of an adapter that is trained on it."""

from pathlib import Path

import torch

from shizuku.checkpoints.directory import Checkpoint
from shizuku.checkpoints.gguf import as_here, read_gguf
from shizuku.checkpoints.gguf_tensors import GGUFTensors
from shizuku.checkpoints.packed import open_packed
from shizuku.checkpoints.quantized import assemble
from shizuku.checkpoints.weights import take_all
from shizuku.errors import CheckpointError
from shizuku.quantization.blocks import layer_of_blocks
from shizuku.quantization.scheme import Layout


def load_gguf_packed(path: Path, *, verify: bool = True) -> Checkpoint:
    """The model of a GGUF file; matrices of the blocks in Q4_0, Q4_1 or Q8_0 are packed layers with the same
    numbers, and all else is float32.

    Raises as `load_checkpoint`, and CheckpointError where no matrix can stay packed.
    """
    found = open_packed(path, verify=verify)
    layouts: dict[str, Layout] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, packed in found.tensors.items():
        layer = layer_of_blocks(packed) if name.startswith("blocks.") else None
        if layer is not None:
            place = name.removesuffix(".weight")
            layouts[place], arrays = layer
            tensors |= {f"{place}.{part}": torch.from_numpy(array) for part, array in arrays.items()}
    if not layouts:
        kinds = ", ".join(sorted({tensor.kind for tensor in found.tensors.values()}))
        raise CheckpointError(f"{path}: no matrix of the blocks is in Q4_0, Q4_1 or Q8_0; there are {kinds}")
    file = GGUFTensors(path)
    config, sources = read_gguf(file)
    rest = [one for one in sources if one.ours.removesuffix(".weight") not in layouts]
    here = as_here(file, file, config)
    tensors |= {source.ours: rows.contiguous() for source, rows in take_all(rest, here)}
    try:
        model = assemble(config, layouts, tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Checkpoint(model, found.tokenizer, {}, {}, path, found.kind)
