"""A whole model by its schemes: each block is calibrated on what the rounded ones before it hand on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from shizuku.models.decoder import Decoder
from shizuku.quantization.calibration import BlockByBlock, Windows
from shizuku.quantization.matrices import Rounded, quantize_matrix
from shizuku.quantization.scheme import Layout, Scheme
from shizuku.quantization.surgery import TABLES, matrices, pack_layer

CURVED = ("gptq", "outlier")
"""Methods that round by the inputs' Hessian."""


@dataclass(frozen=True, slots=True)
class LayerReport:
    """What became of one matrix."""

    scheme: Scheme
    """How it was rounded."""
    layout: Layout
    """How it is laid out; its bytes count scales, codebook and indices."""
    weight_error: float
    """Squared error of its numbers, beside their squares."""
    output_error: float | None
    """Squared error of its outputs on the calibration text beside theirs; None where it has not been seen."""


def quantize_model(
    model: Decoder,
    schemes: Mapping[str, Scheme],
    windows: Windows,
    on_layer: Callable[[str], None] = lambda _: None,
) -> dict[str, LayerReport]:
    """Pack the named layers of a model in place, and say what became of each, in the model's order.

    `windows` is the text to calibrate on; without any, GPTQ is rounding to nearest and no output errors are
    known. `on_layer` hears the name of every layer that is done.
    """
    reports: dict[str, LayerReport] = {}

    def pack(name: str, hessian_CC: Tensor | None) -> None:
        weight = model.get_submodule(name).weight
        assert isinstance(weight, Tensor), f"{name} has a matrix"
        rounded = quantize_matrix(weight, schemes[name], hessian_CC)
        reports[name] = _packed(model, name, schemes[name], rounded)
        on_layer(name)

    output = output_table(model)
    # A table that is rounded by its outputs waits for them; else the blocks see it as it will be.
    late = output if output in schemes and schemes[output].method in CURVED and windows else None
    for name in TABLES:
        if name in schemes and name != late and name != output:
            pack(name, None)
    if output in schemes and output != late and output == "embedding":
        pack(output, None)
    text = BlockByBlock(model, windows) if windows else None
    for number, block in enumerate(model.blocks):
        names = [name for name in schemes if name.startswith(f"blocks.{number}.")]
        inputs = text.inputs_of(number) if text is not None and names else None
        for name in names:
            pack(name, None if inputs is None else inputs.hessian(name))
        if text is not None:
            text.advance(number)
        assert isinstance(block, nn.Module), "blocks are modules"
    if output in schemes and output not in reports:
        hessian_DD = None if text is None else text.inputs_of_output(output).hessian(output)
        pack(output, hessian_DD)
    return {name: reports[name] for name in matrices(model) if name in reports}


def output_table(model: Decoder) -> str:
    """The name of the matrix that makes the logits: the embedding's where they are tied."""
    return "embedding" if model.unembedding is None else "unembedding"


def _packed(model: Decoder, name: str, scheme: Scheme, rounded: Rounded) -> LayerReport:
    pack_layer(model, name, rounded.layout, rounded.arrays)
    return LayerReport(scheme, rounded.layout, rounded.weight_error, rounded.output_error)
