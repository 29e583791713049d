"""The runtime on the native library: packed weights, a cache in blocks, one call for a step of all layers.

Nothing here needs torch. R rows asked for, T tokens of a span, V vocabulary, D width.
"""

import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from shizuku.adapters.weights import AdapterWeights
from shizuku.errors import ConfigError, ModelError
from shizuku.inference.adapting import admit, kind_of, packed_low_rank
from shizuku.inference.runtime import Span
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.layers.frequencies import alibi_slopes, frequencies
from shizuku.quantization.native import library
from shizuku.quantization.native.library import NativeModel, Settings
from shizuku.quantization.packed import PackedTensor

_WANTED = {"none": 0, "last": 1, "all": 2}
_WIDEST_HEAD = 1024


def unsupported(config: DecoderConfig, kinds: Iterable[str] = ()) -> list[str]:
    """Return what of a model the native library cannot do, in words; empty when it can run it.

    `kinds` are the packed kinds of its weights.
    """
    missing = [f"weights of kind {kind}" for kind in sorted(set(kinds) - set(library.KINDS))]
    if config.head_width > _WIDEST_HEAD:
        missing.append(f"head_width {config.head_width} (at most {_WIDEST_HEAD})")
    if config.experts:
        missing.append(f"experts ({config.experts})")
    return missing


class NativeRuntime:
    """A decoder in native code; meets the protocol `Runtime`. One thread at a time may call it."""

    company_matters = False

    def __init__(
        self,
        config: DecoderConfig,
        tensors: Mapping[str, PackedTensor],
        *,
        threads: int | None = None,
        cache: Literal["f16", "f32", "int8"] = "f16",
        activations: Literal["int8", "float"] = "int8",
        instruction_set: str | None = None,
        adapter: AdapterWeights | None = None,
    ) -> None:
        """Take a model's weights, under the names of `Decoder(config).state_dict()`.

        Weights are copied into tiles one by one; pages of a mapped file are given back as soon as they are
        read. `activations` are what packed integers are multiplied with: groups of 32 rounded to eight bits,
        or floats (slow: to check with). `threads` is all processors when left out. `adapter` acts on
        everything, as if it were merged. NativeLibraryError without the library; ModelError for weights that
        are missing or that it has no kernels for; ConfigError for settings that it doesn't know.
        """
        if cache not in library.CACHES or activations not in ("int8", "float"):
            raise ConfigError(
                f"cache {cache!r} with activations {activations!r}: f16, f32 or int8; int8 or float"
            )
        threads = _processors() if threads is None else threads
        if not 1 <= threads <= 1024:
            raise ConfigError(f"threads is {threads}; it must be between 1 and 1024")
        missing = unsupported(config, {tensor.kind for name, tensor in tensors.items() if _matrix(name)})
        if missing:
            raise ModelError(f"the native library has no {', nor '.join(missing)}")
        self.config, self.threads = config, threads
        self.instruction_set = library.chosen_set(instruction_set)
        matrices = [name for name in tensors if _matrix(name)]
        room = sum(library.matrix_bytes(self.instruction_set, tensors[name]) for name in matrices)
        settings = _settings(config, cache=library.CACHES[cache], floats=activations == "float")
        self._model = NativeModel(settings, self.instruction_set, threads, room)
        self.weight_bytes = room
        """Bytes of the packed weights in memory."""
        table = (
            0
            if config.tie_embeddings
            else library.matrix_bytes(self.instruction_set, tensors["embedding.weight"])
        )
        self.read_bytes = room - table
        """Of them, the bytes that a token reads: all but the embeddings, unless they are the output too."""
        self._blocks = 0
        self._halves = any(tensors[name].kind.startswith("q") for name in matrices)
        self._numbers: dict[str | None, int] = {None: -1}
        self.adapters: dict[str, bytes] = {}
        """The digests of its adapters, by name."""
        _Loading(config, tensors, self._model).run()
        if adapter is not None:
            admit({}, "adapter", adapter, config)
            self._numbers[None] = self._take(adapter)

    @property
    def context(self) -> int:
        """Longest sequence in tokens."""
        return self.config.context

    @property
    def vocab_size(self) -> int:
        """Number of logits."""
        return self.config.vocab_size

    @property
    def block_tokens(self) -> int:
        """Tokens that one cache block holds."""
        return self._model.block_tokens

    @property
    def block_bytes(self) -> int:
        """Bytes that one cache block takes."""
        return self._model.block_bytes

    @property
    def blocks(self) -> int:
        """Number of cache blocks there are."""
        return self._blocks

    def reserve(self, blocks: int) -> None:
        """Make the cache at least this many blocks large; what it holds stays. ModelError without memory."""
        if blocks > self._blocks:
            self._model.reserve(blocks)
            self._blocks = blocks

    def add_adapter(self, name: str, weights: AdapterWeights) -> None:
        """Have one more adapter, in float32, beside packed integers in float16; see `AdaptingRuntime`."""
        digest = admit(self.adapters, name, weights, self.config)
        if self._numbers[None] >= 0:
            raise ConfigError("an adapter acts on this model already: load its base, and put both beside it")
        self._numbers[name] = self._take(weights)
        self.adapters[name] = digest

    def _take(self, weights: AdapterWeights) -> int:
        packed = {
            layer: packed_low_rank(low_rank, weights.config.scale, half=self._halves)
            for layer, low_rank in weights.layers.items()
        }
        tensors = [tensor for pair in packed.values() for tensor in pair]
        room = sum(library.matrix_bytes(self.instruction_set, tensor) for tensor in tensors)
        number = self._model.adapter(max(a.shape[0] for a, _ in packed.values()), room)
        for layer, (a, b) in packed.items():
            _, block, part = layer.split(".", 2)
            lengths = weights.layers[layer].length_O
            if lengths is not None:
                lengths = np.ascontiguousarray(lengths, np.float32)
            self._model.low_rank(int(block), part, a, b, lengths)
        self.weight_bytes += room
        return number

    def forward(self, spans: Sequence[Span]) -> np.ndarray:
        """Logits float32 [R, V], in the order of the spans and of the tokens wanted in them."""
        return self._run(spans, logits=True)

    def hidden(self, spans: Sequence[Span]) -> np.ndarray:
        """Vectors behind the final norm float32 [R, D], in the same order."""
        return self._run(spans, logits=False)

    def copy_block(self, source: int, target: int) -> None:
        """Make block `target` hold what block `source` holds."""
        for block in (source, target):
            if not 0 <= block < self._blocks:
                raise ModelError(f"cache block {block} is not there: there are {self._blocks}")
        self._model.copy_block(source, target)

    def _run(self, spans: Sequence[Span], *, logits: bool) -> np.ndarray:
        rows = 0
        for span in spans:
            self._check(span)
            rows += {"none": 0, "last": 1, "all": len(span.ids)}[span.wanted]
        out = np.empty((rows, self.config.vocab_size if logits else self.config.width), np.float32)
        if not spans:
            return out
        table = np.empty((5, len(spans)), np.int32)
        ids: list[int] = []
        blocks: list[int] = []
        for n, span in enumerate(spans):
            adapter = self._numbers[span.adapter]
            table[:, n] = len(span.ids), span.start, len(blocks), _WANTED[span.wanted], adapter
            ids.extend(span.ids)
            blocks.extend(span.blocks)
        ids_T, blocks_N = np.array(ids, np.int32), np.array(blocks, np.int32)
        if ids_T.min() < 0 or ids_T.max() >= self.config.vocab_size:
            raise ModelError(
                f"token ids run from {ids_T.min()} to {ids_T.max()}, but the vocabulary has "
                f"{self.config.vocab_size} (ids 0 and up): is this the model's own tokenizer?"
            )
        if blocks_N.min() < 0 or blocks_N.max() >= self._blocks:
            raise ModelError(
                f"a span names cache block {blocks_N.max()}, but there are {self._blocks}: reserve them"
            )
        self._model.forward(table, ids_T, blocks_N, logits, out)
        return out

    def _check(self, span: Span) -> None:
        kind_of(self, span.adapter)
        end = span.start + len(span.ids)
        if not span.ids or span.start < 0:
            raise ModelError(
                f"a span has {len(span.ids)} tokens from position {span.start}; expected some, from 0 up"
            )
        if end > self.config.context:
            raise ModelError(
                f"{end} tokens ({span.start} of them in the cache) are more than the model's context of "
                f"{self.config.context}: shorten the input or use a model with a longer context"
            )
        if end > len(span.blocks) * self.block_tokens:
            raise ModelError(
                f"a span reaches to token {end}, but its {len(span.blocks)} blocks hold "
                f"{len(span.blocks) * self.block_tokens}"
            )


class _Loading:
    """Brings one model's tensors into the library."""

    def __init__(
        self, config: DecoderConfig, tensors: Mapping[str, PackedTensor], model: NativeModel
    ) -> None:
        self.config, self.tensors, self.model = config, tensors, model
        self.used: set[str] = set()

    def run(self) -> None:
        config = self.config
        self._tables()
        self._linear(-1, "", "embedding", config.vocab_size, config.width)
        if not config.tie_embeddings:
            bias = config.unembedding_bias
            self._linear(-1, "", "unembedding", config.vocab_size, config.width, bias=bias)
        if config.positions == "learned":
            self.model.positions(self._floats("position_embedding.weight", config.context * config.width))
        if config.embedding_norm:
            self._norm(-1, "", "embedding_norm", config.width)
        self._norm(-1, "", "final_norm", config.width)
        for layer in range(config.layers):
            self._block(layer)
        unknown = sorted(set(self.tensors) - self.used)
        if unknown:
            raise ModelError(f"{len(unknown)} tensors are not part of the model: {', '.join(unknown[:5])}")

    def _tables(self) -> None:
        config = self.config
        local = config.positions == "rotary" and config.rope_local_theta is not None
        if config.positions == "rotary":
            self.model.rotary(0, *frequencies(config))
        if local:
            self.model.rotary(1, *frequencies(config, local=True))
        if config.positions == "alibi":
            self.model.slopes(alibi_slopes(config.heads))
        for layer, window in enumerate(config.windows):
            self.model.layer(layer, window=window or 0, rotary=int(local and window is not None))

    def _block(self, layer: int) -> None:
        config, prefix = self.config, f"blocks.{layer}."
        width, hidden = config.width, config.ffn_width
        inner, shared = config.heads * config.head_width, config.kv_heads * config.head_width
        for part, rows in (("query", inner), ("key", shared), ("value", shared)):
            self._linear(layer, prefix, f"attention.{part}", rows, width, bias=config.attention_bias)
        self._linear(layer, prefix, "attention.output", width, inner, bias=config.attention_output_bias)
        for part in ("gate", "up") if config.gated else ("up",):
            self._linear(layer, prefix, f"feedforward.{part}", hidden, width, bias=config.mlp_bias)
        self._linear(layer, prefix, "feedforward.down", width, hidden, bias=config.mlp_bias)
        if config.norm_placement != "after":
            self._norm(layer, prefix, "attention_norm", width)
            if not config.shared_norm:
                self._norm(layer, prefix, "feedforward_norm", width)
        if config.norm_placement != "before":
            self._norm(layer, prefix, "attention_output_norm", width)
            self._norm(layer, prefix, "feedforward_output_norm", width)
        if config.qk_norm:
            joint = config.qk_norm_joint
            self._norm(layer, prefix, "attention.query_norm", inner if joint else config.head_width)
            self._norm(layer, prefix, "attention.key_norm", shared if joint else config.head_width)

    def _tensor(self, name: str) -> PackedTensor:
        if name not in self.tensors:
            raise ModelError(f"tensor {name} is missing")
        self.used.add(name)
        return self.tensors[name]

    def _linear(
        self, layer: int, prefix: str, part: str, rows: int, cols: int, *, bias: bool = False
    ) -> None:
        name = f"{prefix}{part}.weight"
        tensor = self._tensor(name)
        if tensor.shape != (rows, cols):
            raise ModelError(f"tensor {name} has shape {tensor.shape}; the config says {(rows, cols)}")
        block = 256 if tensor.kind.endswith("_k") else 32 if tensor.kind.startswith("q") else 1
        if cols % block:
            raise ModelError(
                f"tensor {name} is {tensor.kind} with {cols} columns; expected a multiple of {block}"
            )
        self.model.matrix(layer, part, tensor)
        _release(tensor.data)
        if bias:
            self.model.bias(layer, part, self._floats(f"{prefix}{part}.bias", rows))

    def _norm(self, layer: int, prefix: str, part: str, width: int) -> None:
        weight = self._floats(f"{prefix}{part}.weight", width)
        head = part in ("attention.query_norm", "attention.key_norm")
        bias = None
        if self.config.norm == "layernorm" and self.config.norm_bias and not head:
            bias = self._floats(f"{prefix}{part}.bias", width)
        if self.config.norm_offset:
            weight = weight + np.float32(1)
        self.model.norm(layer, part, weight, bias)

    def _floats(self, name: str, count: int) -> np.ndarray:
        tensor = self._tensor(name)
        raw = np.ascontiguousarray(tensor.data).reshape(-1)
        if tensor.kind == "f32":
            values = raw.view(np.float32)
        elif tensor.kind == "f16":
            values = raw.view(np.float16).astype(np.float32)
        elif tensor.kind == "bf16":
            values = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            raise ModelError(f"tensor {name} is {tensor.kind}; expected f32, f16 or bf16")
        if values.size != count:
            raise ModelError(f"tensor {name} has {values.size} numbers; the config says {count}")
        return values


def _settings(config: DecoderConfig, *, cache: int, floats: bool) -> Settings:
    scale = config.head_width**-0.5 if config.attention_scale is None else config.attention_scale
    return Settings(
        vocab=config.vocab_size, context=config.context, width=config.width, layers=config.layers,
        heads=config.heads, kv_heads=config.kv_heads, head_width=config.head_width,
        ffn_width=config.ffn_width, layer_norm=config.norm == "layernorm",
        parallel=config.parallel_residual, shared_norm=config.shared_norm,
        joint_norms=config.qk_norm_joint, activation=library.ACTIVATIONS[config.activation],
        rotary_width=config.rotary_width if config.positions == "rotary" else 0, cache=cache,
        float_activations=floats, norm_eps=config.norm_eps, attention_scale=scale,
        attention_cap=config.attention_cap or 0.0, logit_cap=config.logit_cap or 0.0,
        embedding_multiplier=config.embedding_multiplier, residual_multiplier=config.residual_multiplier,
        logit_multiplier=config.logit_multiplier,
    )  # fmt: skip


def _matrix(name: str) -> bool:
    part = name.removesuffix(".weight")
    part = part.split(".", 2)[2] if part.startswith("blocks.") else part
    return name.endswith(".weight") and part in library.PARTS


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system tells
        return os.cpu_count() or 1


def _release(data: np.ndarray) -> None:
    """Give the pages of a mapped file back; those of other memory stay."""
    base: object = data
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if not isinstance(base, mmap.mmap) or not hasattr(base, "madvise"):
        return
    start = data.__array_interface__["data"][0] - np.frombuffer(base, np.uint8).__array_interface__["data"][0]
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    length = start + data.nbytes - first
    if length > 0:
        base.madvise(mmap.MADV_DONTNEED, first, length)
