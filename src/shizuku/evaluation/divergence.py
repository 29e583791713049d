"""How far one model's predictions are from another's with the same vocabulary, on the same tokens.

N windows, T tokens of each, V vocabulary. Everything is paired: both models score the same targets behind the
same context, and the standard errors are those of the differences. Tokens of one window depend on each other,
so errors are taken over windows, not tokens.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shizuku.errors import ConfigError, DocumentError, ModelError
from shizuku.inference.scoring import LOGITS_AT_ONCE, PASS_TOKENS
from shizuku.models.decoder import Decoder
from shizuku.progress import bar
from shizuku.quantization.layers import held
from shizuku.text.documents import Document
from shizuku.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenWindows:
    """Text as rows of equal length; documents that share a row don't see each other."""

    ids_NT: Int[Tensor, "N T"]
    """Token ids."""
    segments_NT: Int[Tensor, "N T"]
    """Number of the document inside its row, -1 for padding."""
    scored: int
    """How many targets there are: tokens with one of their own document before them."""

    @property
    def targets_NT(self) -> Tensor:
        """Whether each token is scored, bool [N, T]."""
        inside = (self.segments_NT[:, 1:] == self.segments_NT[:, :-1]) & (self.segments_NT[:, 1:] >= 0)
        scored = torch.cat([torch.zeros_like(inside[:, :1]), inside], dim=1)
        return scored & (scored.flatten().cumsum(0).view(scored.shape) <= self.scored)

    def batches(self) -> list[tuple[Tensor, Tensor | None]]:
        """All rows in passes of a usual size, each with ids and segments as `part` gives them."""
        per = max(1, PASS_TOKENS // self.ids_NT.shape[1])
        return [self.part(slice(first, first + per)) for first in range(0, len(self.ids_NT), per)]

    def part(self, rows: slice) -> tuple[Tensor, Tensor | None]:
        """Ids and segments of some rows; no segments where none are needed."""
        segments = self.segments_NT[rows]
        return self.ids_NT[rows], None if bool((segments == 0).all()) else segments


def token_windows(sequences: Iterable[Sequence[int]], *, tokens: int, window: int) -> TokenWindows:
    """The first `tokens` targets of documents' token ids, in windows of so many tokens.

    A text with fewer gives all it has; DocumentError where there is not even one.
    """
    if tokens < 1 or window < 2:
        raise ConfigError(
            f"{tokens} tokens in windows of {window}: expected 1 or more, in windows of 2 or more"
        )
    rows: list[tuple[list[int], list[int]]] = [([], [])]
    scored = 0
    for ids in sequences:
        left = list(ids)
        while len(left) > 1 and scored < tokens:
            if window - len(rows[-1][0]) < 2:
                rows.append(([], []))
            row, segments = rows[-1]
            piece, left = left[: window - len(row)], left[window - len(row) :]
            segments += [segments[-1] + 1 if segments else 0] * len(piece)
            row += piece
            scored += len(piece) - 1
        if scored >= tokens:
            break
    if scored == 0:
        raise DocumentError("there is no text to measure on: every document is empty (check --text)")
    missing = [window - len(row) for row, _ in rows]
    ids_NT = torch.tensor([row + [0] * gap for (row, _), gap in zip(rows, missing, strict=True)])
    segments_NT = torch.tensor([seg + [-1] * gap for (_, seg), gap in zip(rows, missing, strict=True)])
    return TokenWindows(ids_NT, segments_NT, min(scored, tokens))


def encoded(tokenizer: Tokenizer, documents: Iterable[Document | str]) -> Iterator[list[int]]:
    """The token ids of each document, behind the token that starts one where the tokenizer has it."""
    start = [] if tokenizer.document_start_id is None else [tokenizer.document_start_id]
    for document in documents:
        yield start + tokenizer.encode(document if isinstance(document, str) else document.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A model beside a reference, over the same targets; losses and divergences in nats a token."""

    tokens: int
    """Scored tokens."""
    windows: int
    """Windows they stand in, over which the errors are taken."""
    loss_before: float
    """Mean loss of the reference."""
    loss_after: float
    """Mean loss of the model."""
    loss_error: float
    """Standard error of the difference of the two, paired by window; nan with a single window."""
    kl: float
    """Mean Kullback-Leibler divergence of the model from the reference, over the whole vocabulary."""
    kl_error: float
    """Its standard error; nan with a single window."""
    agreement: float
    """Share of the positions at which both find the same token the most probable."""

    @property
    def perplexity_before(self) -> float:
        """exp of the reference's loss."""
        return math.exp(min(self.loss_before, 700.0))

    @property
    def perplexity_after(self) -> float:
        """exp of the model's loss."""
        return math.exp(min(self.loss_after, 700.0))

    @property
    def loss_increase(self) -> float:
        """How much more the model loses than the reference; the log of the perplexities' ratio."""
        return self.loss_after - self.loss_before


@torch.no_grad()
def compare(reference: Decoder, model: Decoder, windows: TokenWindows) -> Comparison:
    """Score the windows with both models; ModelError where their vocabularies differ."""
    if reference.config.vocab_size != model.config.vocab_size:
        raise ModelError(
            f"the vocabularies differ: {reference.config.vocab_size} and {model.config.vocab_size} ids"
        )
    targets_NT, per = windows.targets_NT, max(1, PASS_TOKENS // windows.ids_NT.shape[1])
    sums: list[Tensor] = []
    with bar("comparing", windows.scored, "tokens") as progress, held(reference), held(model):
        for first in range(0, len(windows.ids_NT), per):
            rows = slice(first, first + per)
            ids, segments = windows.part(rows)
            wanted = targets_NT[rows]
            x_ND, y_ND = (_before_targets(m, ids, segments, wanted) for m in (reference, model))
            found_N4 = _compared(reference, model, x_ND, y_ND, ids[wanted])
            sums += [part.double().sum(0) for part in found_N4.split(wanted.sum(1).tolist())]
            progress.advance(len(found_N4))
    counts_N = targets_NT.sum(1).double()
    return _comparison(torch.stack(sums), counts_N)


def _before_targets(model: Decoder, ids: Tensor, segments: Tensor | None, wanted: Tensor) -> Tensor:
    x_BTD = model.hidden(ids, segments_BT=segments)
    return x_BTD[:, :-1][wanted[:, 1:]]


def _compared(
    reference: Decoder, model: Decoder, x_ND: Tensor, y_ND: Tensor, targets_N: Tensor
) -> Float[Tensor, "N 4"]:
    """Both losses, the divergence, and whether the best tokens are the same, for each target."""
    at_once = max(1, LOGITS_AT_ONCE // reference.config.vocab_size)
    found = [x_ND.new_empty(0, 4)]
    for x, y, target in zip(x_ND.split(at_once), y_ND.split(at_once), targets_N.split(at_once), strict=True):
        logp_NV, logq_NV = reference.unembed(x).log_softmax(-1), model.unembed(y).log_softmax(-1)
        kl_N = (logp_NV.exp() * (logp_NV - logq_NV)).sum(-1)
        same_N = logp_NV.argmax(-1) == logq_NV.argmax(-1)
        losses = [-log_NV.gather(1, target[:, None])[:, 0] for log_NV in (logp_NV, logq_NV)]
        found.append(torch.stack([*losses, kl_N, same_N.float()], dim=1))
    return torch.cat(found)


def _comparison(sums_N4: Tensor, counts_N: Tensor) -> Comparison:
    kept = counts_N > 0
    sums_N4, counts_N = sums_N4[kept], counts_N[kept]
    before, after, kl, same = (sums_N4.sum(0) / counts_N.sum()).tolist()
    return Comparison(
        tokens=int(counts_N.sum()),
        windows=len(counts_N),
        loss_before=before,
        loss_after=after,
        loss_error=ratio_error(sums_N4[:, 1] - sums_N4[:, 0], counts_N),
        kl=kl,
        kl_error=ratio_error(sums_N4[:, 2], counts_N),
        agreement=same,
    )


def ratio_error(sums_N: Tensor, counts_N: Tensor) -> float:
    """Standard error of sum / count over windows of unequal size (the usual one of a ratio); nan for one."""
    windows = len(sums_N)
    if windows < 2:
        return math.nan
    residual_N = sums_N - counts_N * (sums_N.sum() / counts_N.sum())
    variance = float(residual_N.square().sum()) * windows / (windows - 1)
    return math.sqrt(variance) / float(counts_N.sum())
