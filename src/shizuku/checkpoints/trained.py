"""Whatever the loop trains, to disk and back: models, decoders with a head, and adapters on either."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shizuku.adapters.surgery import is_adapted
from shizuku.checkpoints.adapters import restore_adapter, save_adapter
from shizuku.checkpoints.directory import load_model, save_checkpoint
from shizuku.checkpoints.headed import load_headed, save_headed
from shizuku.models.accompanied import Accompanied
from shizuku.models.heads import HeadedDecoder
from shizuku.text.tokenizer import Tokenizer


def save_trained(
    directory: str | Path,
    *,
    model: nn.Module,
    weights: Mapping[str, Tensor] | None = None,
    tokenizer: Tokenizer | None = None,
    run: Mapping[str, Any] | None = None,
    extra: Callable[[Path], None] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a checkpoint of the kind that `model` is; arguments and errors as of `save_checkpoint`.

    Of an adapted model the active adapter is written, with the head if there is one, and not the base.
    """
    if isinstance(model, Accompanied):
        weights = None if weights is None else model.of_decoder(dict(weights))
        model = model.decoder
    if is_adapted(model):
        return save_adapter(directory, model=model, tokenizer=tokenizer, run=run, extra=extra, dtype=dtype)
    if isinstance(model, HeadedDecoder):
        return save_headed(
            directory, model=model, weights=weights, tokenizer=tokenizer, run=run, extra=extra, dtype=dtype
        )
    return save_checkpoint(
        directory, model=model, weights=weights, tokenizer=tokenizer, run=run, extra=extra, dtype=dtype
    )


def restore_trained(directory: str | Path, model: nn.Module) -> None:
    """Give `model` the weights that `save_trained` wrote of one of its kind; raises as `load_model`."""
    model = model.decoder if isinstance(model, Accompanied) else model
    if is_adapted(model):
        restore_adapter(directory, model)
    elif isinstance(model, HeadedDecoder):
        weights = load_headed(directory).model.state_dict()
        # An output matrix that nothing reads is not saved: the model keeps the one that it has.
        kept = {name: tensor for name, tensor in model.state_dict().items() if ".unembedding." in name}
        model.load_state_dict({**kept, **weights})
    else:
        model.load_state_dict(load_model(directory).state_dict())


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The part of the state_dict that training moves: of an adapted model what is not frozen, else all."""
    state = model.state_dict()
    if not is_adapted(model):
        return dict(state)
    moving = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: tensor for name, tensor in state.items() if name in moving}
