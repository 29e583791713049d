"""`shizuku quantize`: store a model in fewer bits, and measure what that changes."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shizuku.config import VerbConfig, check_threads
from shizuku.errors import CheckpointError, ConfigError
from shizuku.quantization.scheme import SCHEMES, Method, Scheme, SchemeName, for_tables, layout_of

if TYPE_CHECKING:
    from shizuku.checkpoints.directory import Checkpoint
    from shizuku.commands.quantization_text import Texts
    from shizuku.evaluation.divergence import Comparison
    from shizuku.models.decoder import Decoder
    from shizuku.quantization.whole import LayerReport

UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    UNITS |= {f"{_letter}B": 1000**_power, _letter: 1000**_power, f"{_letter}IB": 1024**_power}
REPORT = "report.html"
CURVE_BITS = (3, 4, 6, 8)
CURVE_TOKENS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Store a model's matrices in fewer bits, measure what that changes, and write a report."""

    model: tyro.conf.Positional[str]
    """A name, a checkpoint directory, a Hugging Face directory or a .gguf file."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the packed checkpoint, with report.html."""
    scheme: SchemeName | None = None
    """A scheme by name; the flags below change single settings of it. None, and no --method: int8."""
    method: Method | None = None
    """rtn (round to nearest), gptq, codebook (k-means), or outlier (gptq, with outliers in float16)."""
    bits: int | None = None
    """Bits of each number: 2 to 8, for codebooks 2 to 4."""
    group_size: int | None = None
    """Numbers of a row that share a scale; 0: the whole row (codebook: no scale at all)."""
    symmetric: bool | None = None
    """Whether the grid is centred on zero, without offsets: smaller, a little less exact."""
    outliers: float | None = None
    """Share of the numbers that stay in float16 (method outlier: 0.005)."""
    table_bits: int | None = None
    """Bits of the embedding and output matrices; 32 leaves them in float; none: 8."""
    keep: tuple[str, ...] = ()
    """Shell patterns of layers that stay in float, such as `*.down`."""
    target_bytes: str | None = None
    """Size of the weights file, such as 60MB or 60MiB: the bits of each layer are chosen to fit, by
    measured sensitivity."""
    text: tuple[Path, ...] = ()
    """Text to calibrate on; a fifth of it is measured on instead, unless there is --heldout."""
    heldout: tuple[Path, ...] = ()
    """Text to measure on."""
    field: str = "text"
    """Field that holds the text in JSONL and Parquet."""
    calibration_tokens: int = 32_768
    """Tokens to calibrate on."""
    heldout_tokens: int = 32_768
    """Tokens to measure on."""
    curve: bool = True
    """Also measure plain rounding at 3, 4, 6 and 8 bits, for the report's plot."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Threads to compute with; none: as many as PyTorch chooses."""
    dry_run: bool = False
    """Say what would be done and how large the result would be, and stop."""

    def __post_init__(self) -> None:
        """ConfigError for settings that cannot be."""
        check_threads(self.threads)
        for name in ("calibration_tokens", "heldout_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"--{name.replace('_', '-')}: expected 1 or more, found {getattr(self, name)}"
                )
        if self.table_bits not in (None, 32) and not 2 <= self.table_bits <= 8:
            raise ConfigError(f"--table-bits {self.table_bits}: expected 2 to 8, or 32 for float")
        if self.target_bytes is not None:
            bytes_of(self.target_bytes)
            if self.bits is not None:
                raise ConfigError("--bits and --target-bytes both say how large it is to be: give one")
        self.chosen()

    def chosen(self) -> Scheme:
        """The scheme of the blocks' matrices; ConfigError where settings contradict each other."""
        base = SCHEMES[self.scheme or "int8"]
        if self.scheme is None and (self.method is not None or self.bits is not None):
            base = Scheme(method=self.method or "rtn")
        names = ("method", "bits", "group_size", "symmetric", "outliers")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(base, **given)


def bytes_of(text: str) -> int:
    """The number of bytes that a text such as 60MB, 57.2MiB or 60000000 says; ConfigError for another."""
    found = re.fullmatch(r"\s*([0-9][0-9_,]*\.?[0-9]*)\s*([A-Za-z]*)\s*", text)
    unit = None if found is None else UNITS.get(found[2].upper())
    if found is None or unit is None:
        raise ConfigError(f"--target-bytes {text!r}: expected a size such as 60MB, 60MiB or 60000000")
    return int(float(found[1].replace(",", "").replace("_", "")) * unit)


def run(config: Config) -> dict[str, object]:
    """Quantize, measure, save; the keys of the contract and what the tables show."""
    import copy

    import torch

    from shizuku.checkpoints.directory import load_checkpoint, resolve
    from shizuku.commands.quantization_text import texts_for
    from shizuku.models.architectures import abilities_of
    from shizuku.quantization.surgery import is_quantized, matrices

    begun = time.perf_counter()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    source = resolve(config.model)
    if config.out.exists() and config.out.resolve() == source.resolve():
        raise ConfigError(f"--out {config.out} is the model itself: give another place")
    checkpoint = load_checkpoint(source)
    tokenizer = checkpoint.tokenizer
    if tokenizer is None:
        raise CheckpointError(f"{source} has no tokenizer, without which no text can be measured on")
    if is_quantized(checkpoint.model):
        raise CheckpointError(f"{source} is quantized already: take the float model that it was made of")
    if "generate" not in abilities_of(checkpoint.model.config):
        raise CheckpointError(
            f"{source} is of the architecture {checkpoint.model.config.ARCHITECTURE} and continues no text: "
            "its perplexity before and after can't be measured: models of this kind are not quantized"
        )
    if not any(name.startswith("blocks.") for name in matrices(checkpoint.model)):
        raise CheckpointError(
            f"{source} is of the architecture {checkpoint.model.config.ARCHITECTURE}, of which no matrices "
            "can be packed: quantize a decoder or a mamba model"
        )
    names = list(matrices(checkpoint.model, config.keep))
    schemes = _schemes(config, names)
    if config.dry_run:
        return _plan(config, checkpoint.model, schemes)
    texts = texts_for(config, checkpoint, tokenizer)
    if config.target_bytes is not None:
        schemes = _allotted(config, checkpoint.model, schemes, texts)
    original = copy.deepcopy(checkpoint.model)
    layers = _quantized(checkpoint.model, schemes, texts)
    return _measured(config, source, checkpoint, original, layers, texts, begun)


def _schemes(config: Config, names: list[str]) -> dict[str, Scheme]:
    """The scheme of every layer that is to be packed."""
    from shizuku.quantization.surgery import TABLES

    scheme, found = config.chosen(), {}
    for name in names:
        own = for_tables(scheme, config.table_bits) if name in TABLES else scheme
        if own is not None:
            found[name] = own
    if not found:
        raise ConfigError("--keep leaves every matrix in float: there is nothing to do")
    return found


def _float_bytes(model: "Decoder", packed: Iterable[str]) -> int:
    """Bytes of what stays in float32."""
    weights = {f"{name}.weight" for name in packed}
    return sum(4 * parameter.numel() for name, parameter in model.named_parameters() if name not in weights)


def _header_bytes(model: "Decoder", schemes: Mapping[str, Scheme], whole: int) -> int:
    """At most what a weights file of `whole` bytes has beside its arrays: a line of JSON for each."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name, scheme in schemes.items():
        rows, columns = shapes.pop(f"{name}.weight")
        outliers = round(scheme.outliers * rows * columns)
        arrays = layout_of(scheme, (rows, columns), outliers).arrays()
        shapes |= {f"{name}.{part}": shape for part, (_, shape) in arrays.items()}
    entry = '"{}":{{"dtype":"F16","shape":{},"data_offsets":[{},{}]}},'
    return 64 + sum(len(entry.format(name, list(shape), whole, whole)) for name, shape in shapes.items())


def _plan(config: Config, model: "Decoder", schemes: dict[str, Scheme]) -> dict[str, object]:
    """What a dry run says: sizes to within the headers, before any text is read."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    packed = 0
    for name, scheme in schemes.items():
        weight = model.get_parameter(f"{name}.weight")
        outliers = round(scheme.outliers * weight.numel())
        packed += layout_of(scheme, (weight.shape[0], weight.shape[1]), outliers).bytes
    size = packed + _float_bytes(model, schemes)
    if config.target_bytes is not None:
        size = bytes_of(config.target_bytes)
    return {
        "dry_run": True,
        "scheme": config.chosen().label,
        "layers": len(schemes),
        "parameters": parameters,
        "bytes_before": 4 * parameters,
        "bytes": size,
        "bits_per_weight": 8 * size / parameters,
        "chosen_by": "sensitivity" if config.target_bytes else "scheme",
    }


def _allotted(
    config: Config, model: "Decoder", schemes: dict[str, Scheme], texts: "Texts"
) -> dict[str, Scheme]:
    """The schemes with the bits that fit --target-bytes best."""
    from shizuku.progress import bar
    from shizuku.quantization.policy import allot, candidates

    assert config.target_bytes is not None, "asked for"
    scheme = config.chosen()
    open_bits = {name: scheme if config.table_bits is None else own for name, own in schemes.items()}
    whole = bytes_of(config.target_bytes)
    budget = whole - _float_bytes(model, schemes) - _header_bytes(model, schemes, whole)
    rows = max(1, min(4096, 64_000_000 // model.config.vocab_size) // texts.calibration.ids_NT.shape[1])
    windows = [texts.calibration.part(slice(0, rows))]
    with bar("measuring sensitivity", len(open_bits), "layers") as progress:
        found = candidates(model, open_bits, windows, on_layer=lambda _: progress.advance())
    if config.table_bits is not None:
        for name, own in schemes.items():
            if own != scheme:
                found[name] = [one for one in found[name] if one.scheme.bits == own.bits] or found[name]
    return {name: one.scheme for name, one in allot(found, budget).items()}


def _quantized(model: "Decoder", schemes: dict[str, Scheme], texts: "Texts") -> "dict[str, LayerReport]":
    from shizuku.progress import bar
    from shizuku.quantization.whole import quantize_model

    with bar("quantizing", len(schemes), "layers") as progress:

        def done(name: str) -> None:
            progress.advance()
            progress.update(note=name)

        return quantize_model(model, schemes, texts.calibration.batches(), done)


def _measured(
    config: Config, source: Path, checkpoint: "Checkpoint", original: "Decoder",
    layers: "Mapping[str, LayerReport]", texts: "Texts", begun: float,
) -> dict[str, object]:  # fmt: skip
    """Compare with the original, write the checkpoint with its report, and return what is known."""
    from shizuku.checkpoints.directory import run_record, save_checkpoint
    from shizuku.commands.quantization_page import write_page
    from shizuku.config import to_dict
    from shizuku.evaluation.divergence import compare
    from shizuku.quantization.surgery import weight_bytes

    found = compare(original, checkpoint.model, texts.heldout)
    parameters = sum(parameter.numel() for parameter in original.parameters())
    memory = weight_bytes(checkpoint.model)
    result: dict[str, object] = {
        "checkpoint": str(config.out),
        "scheme": config.chosen().label,
        "bytes": 0,
        "memory_bytes": memory,
        "bytes_before": weight_bytes(original),
        "parameters": parameters,
        "bits_per_weight": 8 * memory / parameters,
        **_quality(found),
        "text": texts.source,
        "calibration_tokens": texts.calibration.scored,
        "layers": [_row(name, report) for name, report in layers.items()],
    }
    curve = _curve(config, original, layers, texts) if config.curve else []
    metrics = {key: value for key, value in result.items() if key not in ("checkpoint", "bytes")}

    def report(made: Path) -> None:
        size = result["bytes"] = (made / "model.safetensors").stat().st_size
        most = None if config.target_bytes is None else bytes_of(config.target_bytes)
        assert most is None or size <= most, f"{size} bytes were written, {most} were allowed"
        write_page(made / REPORT, result, curve, str(config.model))

    path = save_checkpoint(
        config.out,
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        run=run_record(config=to_dict(config), metrics=metrics, parent=source, parent_name=config.model),
        generation=checkpoint.generation,
        extra=report,
    )
    return {**result, "report": str(path / REPORT), "seconds": round(time.perf_counter() - begun, 3)}


def _quality(found: "Comparison") -> dict[str, object]:
    return {
        "perplexity_before": found.perplexity_before,
        "perplexity_after": found.perplexity_after,
        "loss_increase": found.loss_increase,
        "loss_error": _number(found.loss_error),
        "kl": found.kl,
        "kl_error": _number(found.kl_error),
        "agreement": found.agreement,
        "tokens": found.tokens,
    }


def _number(value: float) -> float | None:
    """None in place of the nan that JSON has no word for."""
    return value if value == value else None


def _row(name: str, report: "LayerReport") -> dict[str, object]:
    return {
        "name": name,
        "method": report.scheme.method,
        "bits": report.layout.bits,
        "group_size": report.layout.group_size,
        "outliers": report.layout.outliers,
        "bytes": report.layout.bytes,
        "bits_per_weight": report.layout.bits_per_weight,
        "weight_error": report.weight_error,
        "output_error": report.output_error,
    }


def _curve(
    config: Config, original: "Decoder", layers: "Mapping[str, LayerReport]", texts: "Texts"
) -> list[tuple[int, int, float]]:
    """Bits, bytes and rise in loss with the blocks plainly rounded, on part of the held-out text.

    Embedding and output matrices have the scheme's own bits, so that the points differ in the blocks alone.
    """
    import copy

    from shizuku.evaluation.divergence import TokenWindows, compare
    from shizuku.progress import track
    from shizuku.quantization.surgery import TABLES, weight_bytes
    from shizuku.quantization.whole import quantize_model

    rows = slice(0, max(1, CURVE_TOKENS // texts.heldout.ids_NT.shape[1]))
    ids, segments = texts.heldout.ids_NT[rows], texts.heldout.segments_NT[rows]
    part = TokenWindows(ids, segments, int(texts.heldout.targets_NT[rows].sum()))
    group = config.chosen().group_size or 64
    points = []
    for bits in track(CURVE_BITS, "plain rounding beside it"):
        model, plain = copy.deepcopy(original), Scheme(bits=bits, group_size=group)
        quantize_model(model, {n: one.scheme if n in TABLES else plain for n, one in layers.items()}, [])
        points.append((bits, weight_bytes(model), compare(original, model, part).loss_increase))
    return points


def show(result: dict[str, Any]) -> None:
    """The plan of a dry run, or the layers' errors, the sizes and the quality."""
    from rich.console import Console
    from rich.table import Table

    from shizuku.checkpoints.memory import readable

    if result.get("dry_run"):
        print(f"scheme          {result['scheme']}; bits chosen by {result['chosen_by']}")
        print(f"layers          {result['layers']:,}")
        print(f"bytes           {readable(result['bytes_before'])} -> {readable(result['bytes'])}")
        print(f"bits a weight   {result['bits_per_weight']:.3f}")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("layers", "bits", "a weight", "bytes", "weight error", "output error"):
        table.add_column(column, justify="left" if column == "layers" else "right", no_wrap=True)
    for row in by_kind(result["layers"]):
        table.add_row(*row)
    Console(width=100, highlight=False).print(table)
    error = "" if result["loss_error"] is None else f" +- {result['loss_error']:.4f}"
    kl_error = "" if result["kl_error"] is None else f" +- {result['kl_error']:.5f}"
    print()
    print(f"scheme          {result['scheme']}")
    print(f"bytes           {result['bytes']:,} on the disk, {result['memory_bytes']:,} in memory")
    print(f"                of {result['bytes_before']:,} in float32; scales, codebooks and indices counted")
    print(f"bits a weight   {result['bits_per_weight']:.3f}")
    print(f"perplexity      {result['perplexity_before']:.4f} -> {result['perplexity_after']:.4f}")
    print(f"loss            {result['loss_increase']:+.4f}{error} nats a token, {result['tokens']:,} tokens")
    print(f"KL divergence   {result['kl']:.5f}{kl_error} nats a token")
    print(f"same best token {result['agreement']:.2%}")
    print(f"report          {result['report']}")
    print(f'next: shizuku generate {result["checkpoint"]} --prompt "…"')


def by_kind(layers: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Table rows of the layers of all blocks together by what they are: bits, bytes, and mean errors."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for layer in layers:
        kinds.setdefault(re.sub(r"^blocks\.\d+\.", "", layer["name"]), []).append(layer)
    rows: list[tuple[str, ...]] = []
    for kind, some in kinds.items():
        bits = sorted({layer["bits"] for layer in some})
        mean = sum(layer["bits_per_weight"] for layer in some) / len(some)
        weight = sum(layer["weight_error"] for layer in some) / len(some)
        seen = [layer["output_error"] for layer in some if layer["output_error"] is not None]
        rows.append(
            (
                f"{kind} x {len(some)}" if len(some) > 1 else kind,
                str(bits[0]) if len(bits) == 1 else f"{bits[0]}-{bits[-1]}",
                f"{mean:.3f}",
                f"{sum(layer['bytes'] for layer in some):,}",
                f"{weight:.2e}",
                f"{sum(seen) / len(seen):.2e}" if seen else "-",
            )
        )
    return rows
