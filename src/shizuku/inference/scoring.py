"""How probable a model finds given tokens: log-probabilities of targets behind what stands before them.

B spans of one pass, T tokens, N targets, D width, V vocabulary. The logits of a whole pass are never held:
only vectors before a target are unembedded, a slice at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.inference.generation import DecoderLike, check_prompt

# Tokens of one pass, padding included: enough for full-speed matrix products, small enough for a laptop.
PASS_TOKENS = 4096
# Logits held at once, in elements: 64 MB of float32.
LOGITS_AT_ONCE = 16_000_000


@dataclass(frozen=True, slots=True)
class Score:
    """How probable a model finds one text."""

    token_logprobs: Tensor
    """Log-probability of each scored token in nats, float32 [T], at most 0."""
    is_greedy: bool
    """Whether every scored token is the one that greedy decoding takes."""
    token_ids: tuple[int, ...]
    """The scored tokens."""
    unscored: int
    """How many tokens at the beginning have nothing before them to be predicted from (0 or 1)."""

    @property
    def logprob(self) -> float:
        """Log-probability of the scored tokens together, in nats."""
        return float(self.token_logprobs.double().sum())


@dataclass(frozen=True, slots=True)
class Span:
    """A sequence of token ids of which those from `first` on are scored."""

    ids: Sequence[int]
    """The whole sequence, what stands before the targets included."""
    first: int
    """Index of the first target, at least 1: the first token of a sequence has nothing before it."""


@dataclass(frozen=True, slots=True)
class SpanScore:
    """What a model says of the targets of one span."""

    logprobs_N: Float[Tensor, "N"]
    """Log-probability of each target in nats, float32, at most 0."""
    greedy_N: Bool[Tensor, "N"]
    """Whether each target is what greedy decoding would have chosen."""


def score_sequences(
    model: DecoderLike,
    sequences: Sequence[Sequence[int]],
    *,
    prefixes: Sequence[Sequence[int]],
    context: int,
) -> list[Score]:
    """Score the ids of each sequence behind its prefix, which is not scored.

    Raises ModelError for a sequence that is empty or doesn't fit `context` together with its prefix.
    """
    spans = []
    for number, (prefix, ids) in enumerate(zip(prefixes, sequences, strict=True)):
        if not ids:
            raise ModelError(f"text {number} is empty: there is nothing to score")
        if len(prefix) + len(ids) > context:
            raise ModelError(
                f"text {number} has {len(prefix) + len(ids)} tokens with what stands before it, the context "
                f"length is {context}: shorten it, or measure a long text with `shizuku eval --text`, which "
                "goes over it in windows"
            )
        spans.append(Span([*prefix, *ids], max(len(prefix), 1)))
    return [
        Score(found.logprobs_N, bool(found.greedy_N.all()), tuple(span.ids[span.first :]), int(not prefix))
        for found, span, prefix in zip(score_spans(model, spans), spans, prefixes, strict=True)
    ]


def one_sequence(token_ids: Any, what: str = "token_ids") -> list[int]:
    """The ids as a list; ModelError for a batch, whose padding could not be told from text."""
    shape = getattr(token_ids, "shape", None)
    values = list(token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids)
    if (shape is not None and len(shape) != 1) or any(isinstance(v, list | tuple) for v in values):
        seen = f"a tensor of shape {tuple(shape)}" if shape is not None else "a list of lists"
        raise ModelError(
            f"{what}: expected the ids of one sequence, without padding; got {seen}. Padding can't be told "
            "from text by its id (it may equal the end token): pass each sequence by itself, or call "
            "lm.model(ids_BT, segments_BT=…) with -1 where there is padding"
        )
    strange = [value for value in values if not isinstance(value, Integral) or isinstance(value, bool)]
    if strange:
        raise ModelError(f"{what}: expected token ids (whole numbers), got {strange[0]!r}")
    return [int(value) for value in values]


def score_spans(model: DecoderLike, spans: Sequence[Span]) -> list[SpanScore]:
    """Score every span; spans of similar length share a pass, which changes nothing but the speed.

    Raises ModelError for a span that is longer than the context or has ids outside the vocabulary.
    """
    for span in spans:
        assert 1 <= span.first <= len(span.ids), "a target needs a token before it"
        check_prompt(span.ids, 0, context=model.config.context, vocab_size=model.config.vocab_size)
    scores: dict[int, SpanScore] = {}
    for group in _groups([len(span.ids) for span in spans]):
        found = _score_pass(model, [spans[number] for number in group])
        scores.update(zip(group, found, strict=True))
    return [scores[number] for number in range(len(spans))]


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of spans that share a pass: sorted by length, at most PASS_TOKENS with their padding."""
    group: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if group and lengths[group[0]] * (len(group) + 1) > PASS_TOKENS:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


@torch.no_grad()  # not inference mode: callers may go on computing with the scores
def _score_pass(model: DecoderLike, spans: Sequence[Span]) -> list[SpanScore]:
    device = model.unembedding_weight_VD.device
    lengths_B = torch.tensor([len(span.ids) for span in spans], device=device)
    longest = int(lengths_B.max())
    # The last token of a span predicts nothing that is asked for, but belongs to longer spans' columns.
    ids_BT = torch.tensor([[*span.ids, *[0] * (longest - len(span.ids))] for span in spans], device=device)
    segments_BT = None
    if int(lengths_B.min()) < longest:
        segments_BT = torch.where(torch.arange(longest, device=device) < lengths_B[:, None], 0, -1)
    x_BTD = model.hidden(ids_BT, segments_BT=segments_BT)
    x_ND = torch.cat([x_BTD[b, s.first - 1 : len(s.ids) - 1] for b, s in enumerate(spans)])
    targets_N = torch.cat([ids_BT[b, s.first : len(s.ids)] for b, s in enumerate(spans)])
    counts = [len(span.ids) - span.first for span in spans]
    logprobs_N, greedy_N = score_targets(model, x_ND, targets_N)
    return [
        SpanScore(logprobs, greedy)
        for logprobs, greedy in zip(logprobs_N.cpu().split(counts), greedy_N.cpu().split(counts), strict=True)
    ]


def score_targets(
    model: DecoderLike, x_ND: Float[Tensor, "N D"], targets_N: Int[Tensor, "N"]
) -> tuple[Float[Tensor, "N"], Bool[Tensor, "N"]]:
    """Log-probability (nats, float32) of each target given its vector, and whether it is the best token."""
    rows = max(1, LOGITS_AT_ONCE // model.unembedding_weight_VD.shape[0])
    logprobs, greedy = [x_ND.new_empty(0, dtype=torch.float32)], [targets_N.new_empty(0, dtype=torch.bool)]
    for some_ND, some_N in zip(x_ND.split(rows), targets_N.split(rows), strict=True):
        logits_NV = model.unembed(some_ND).float()
        greedy.append(logits_NV.argmax(-1) == some_N)
        logprobs.append(-F.cross_entropy(logits_NV, some_N, reduction="none"))
    return torch.cat(logprobs).clamp(max=0.0), torch.cat(greedy)
