"""A model that reads whole texts at once as a runtime: nothing is cached, and nothing can be continued.

Legend: `B` rows of one pass, `T` tokens of a row, `V` vocabulary, `D` width, `R` rows wanted.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shizuku.inference.adapting import kind_of
from shizuku.inference.runtime import Span
from shizuku.inference.torch_runtime import groups
from shizuku.models.architectures import require
from shizuku.models.encoder import Encoder, EncoderConfig
from shizuku.models.layers.visibility import PADDING

BLOCK_TOKENS = 64


class WholeRuntime:
    """A `Runtime` over an encoder; a span must be a whole text, of which all rows are wanted."""

    company_matters = True
    whole = True

    def __init__(self, model: Encoder) -> None:
        """Serve `model` in evaluation mode; its weights may change between calls."""
        self.model, self.block_tokens, self.blocks = model.eval(), BLOCK_TOKENS, 0
        self.block_bytes = 0

    @property
    def config(self) -> EncoderConfig:
        """What the model is."""
        return self.model.config

    @property
    def context(self) -> int:
        """Longest text in tokens."""
        return self.model.config.context

    @property
    def vocab_size(self) -> int:
        """Number of logits."""
        return self.model.config.vocab_size

    def reserve(self, blocks: int) -> None:
        """Note how many blocks the caller counts with; they hold nothing."""
        self.blocks = max(blocks, self.blocks)

    def copy_block(self, source: int, target: int) -> None:
        """Blocks hold nothing."""

    def forward(self, spans: Sequence[Span]) -> Float[np.ndarray, "R V"]:
        """Logits float32 [R, V] of what stands at each token (not behind it); ModelError for a beginning that
        is to be continued.
        """
        return self._rows(spans, self.model.unembed, self.vocab_size)

    def hidden(self, spans: Sequence[Span]) -> Float[np.ndarray, "R D"]:
        """Vectors behind the last block float32 [R, D], in the same order."""
        return self._rows(spans, lambda x_ND: x_ND, self.model.config.width)

    @torch.inference_mode()
    def logits_at(self, texts: Sequence[Sequence[int]], places: Sequence[int]) -> Float[np.ndarray, "R V"]:
        """Logits float32 [R, V] of what stands at one place of each text."""
        found_RV = np.empty((len(texts), self.vocab_size), dtype=np.float32)
        spans = [Span(ids, 0, (), "all") for ids in texts]
        for group in groups(spans):
            x_BTD = self._pass([spans[number] for number in group])
            at_B = torch.tensor([places[number] for number in group], device=x_BTD.device)
            rows_BD = x_BTD[torch.arange(len(group), device=x_BTD.device), at_B]
            found_RV[group] = self.model.unembed(rows_BD).float().cpu().numpy()
        return found_RV

    @torch.inference_mode()
    def _rows(self, spans: Sequence[Span], of: Callable[[Tensor], Tensor], width: int) -> np.ndarray:
        for span in spans:
            kind_of(self, span.adapter)
            if span.start or span.wanted != "all":
                require(self.config, "generate")
        firsts = np.cumsum([0, *(len(span.ids) for span in spans)])
        result_RW = np.empty((firsts[-1], width), dtype=np.float32)
        for group in groups(spans):
            x_BTD = self._pass([spans[number] for number in group])
            real = torch.cat([x_BTD[row, : len(spans[number].ids)] for row, number in enumerate(group)])
            rows = np.concatenate([np.arange(firsts[n], firsts[n + 1]) for n in group])
            result_RW[rows] = of(real).float().cpu().numpy()
        return result_RW

    def _pass(self, spans: Sequence[Span]) -> Float[Tensor, "B T D"]:
        device = self.model.embedding.weight.device
        lengths = [len(span.ids) for span in spans]
        longest = max(lengths)
        ids_BT = torch.tensor([[*s.ids, *[0] * (longest - len(s.ids))] for s in spans], device=device)
        if min(lengths) == longest:
            return self.model.hidden(ids_BT)
        padding_BT = torch.arange(longest, device=device) >= torch.tensor(lengths, device=device)[:, None]
        return self.model.hidden(ids_BT, segments_BT=torch.where(padding_BT, PADDING, 0))
