"""From logits to the next token: pure functions on logits, and one seeded draw for each sequence.

B sequences, V vocabulary. The order is that of `transformers`: processors and repetition penalty on the
raw logits, then temperature, top-k, top-p, min-p. A removed token has the logit -inf.

Ties are settled everywhere by the lower id, so equal logits give equal results on every machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shizuku.errors import ConfigError, ModelError

# So many of the largest logits are looked at before a whole vocabulary is sorted for top-p.
NUCLEUS_CANDIDATES = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig:
    """How the next token is chosen; the defaults leave the model's distribution as it is."""

    temperature: float = 1.0
    """Divides the logits; 0 always takes the best token."""
    top_k: int | None = None
    """Keep only the k best tokens; none: keep all."""
    top_p: float = 1.0
    """Keep the fewest best tokens whose probabilities sum to at least this; 1: keep all."""
    min_p: float = 0.0
    """Keep tokens at least this many times as probable as the best one; 0: keep all."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that have already occurred (in the prompt too) become less likely."""
    seed: int = 0
    """Seed of the draws; together with a prompt's index in the call it settles the result."""

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, 0 <= self.temperature < math.inf, "a number >= 0")
        _check("top-k", self.top_k, self.top_k is None or self.top_k >= 1, "a whole number >= 1")
        _check("top-p", self.top_p, 0 < self.top_p <= 1, "a number above 0 and up to 1")
        _check("min-p", self.min_p, 0 <= self.min_p <= 1, "a number from 0 to 1")
        penalty = self.repetition_penalty
        _check("repetition-penalty", penalty, 0 < penalty < math.inf, "a number above 0 (1 changes nothing)")
        _check("seed", self.seed, 0 <= self.seed < 2**63, "a whole number from 0 to 2**63 - 1")

    @property
    def greedy(self) -> bool:
        """Whether the best token is always taken."""
        return self.temperature == 0


def _check(flag: str, value: object, good: bool, expected: str) -> None:
    if not good:
        raise ConfigError(f"--{flag} {value}: expected {expected}")


def apply_temperature(logits_BV: Float[Tensor, "B V"], temperature: float) -> Float[Tensor, "B V"]:
    """The logits divided by `temperature` > 0 (temperature 0 is not a distribution: take `best`)."""
    return logits_BV if temperature == 1 else logits_BV / temperature


def keep_largest(logits_BV: Float[Tensor, "B V"], count_B: Int[Tensor, "B"]) -> Float[Tensor, "B V"]:
    """Keep exactly the `count_B` (>= 1) largest logits of each row; of equal ones, those of lower id."""
    most = int(count_B.max())
    threshold_B1 = logits_BV.topk(most, dim=-1).values.gather(-1, count_B[:, None] - 1)
    above_BV = logits_BV > threshold_B1
    equal_BV = logits_BV == threshold_B1
    wanted_B1 = count_B[:, None] - above_BV.sum(-1, keepdim=True)
    keep_BV = above_BV | (equal_BV & (equal_BV.cumsum(-1) <= wanted_B1))
    return logits_BV.masked_fill(~keep_BV, -torch.inf)


def keep_top_k(logits_BV: Float[Tensor, "B V"], k: int | None) -> Float[Tensor, "B V"]:
    """Keep the `k` best tokens of each row (Fan et al. 2018)."""
    rows, vocabulary = logits_BV.shape
    if k is None or k >= vocabulary:
        return logits_BV
    return keep_largest(logits_BV, torch.full((rows,), k, device=logits_BV.device))


def keep_top_p(logits_BV: Float[Tensor, "B V"], p: float) -> Float[Tensor, "B V"]:
    """Keep the fewest best tokens whose probabilities sum to at least `p` (Holtzman et al. 2020)."""
    if p >= 1:
        return logits_BV
    probabilities_BV = logits_BV.double().softmax(-1)
    count_B = None
    for candidates in (min(NUCLEUS_CANDIDATES, logits_BV.shape[-1]), logits_BV.shape[-1]):
        mass_BN = probabilities_BV.topk(candidates, dim=-1).values.cumsum(-1)
        count_B = ((mass_BN < p).sum(-1) + 1).clamp(max=logits_BV.shape[-1])
        if bool((count_B <= candidates).all()):
            break
    assert count_B is not None
    return keep_largest(logits_BV, count_B)


def keep_min_p(logits_BV: Float[Tensor, "B V"], p: float) -> Float[Tensor, "B V"]:
    """Keep tokens whose probability is at least `p` times that of the best one (Nguyen et al. 2024)."""
    if p <= 0:
        return logits_BV
    threshold_B1 = logits_BV.amax(-1, keepdim=True) + math.log(p)
    return logits_BV.masked_fill(logits_BV < threshold_B1, -torch.inf)


def penalise_repetition(
    logits_V: Float[Tensor, "V"], ids: Sequence[int], penalty: float
) -> Float[Tensor, "V"]:
    """Divide positive and multiply negative logits of tokens in `ids` by `penalty` (Keskar et al. 2019)."""
    if penalty == 1 or not ids:
        return logits_V
    seen = torch.tensor(sorted(set(ids)), device=logits_V.device)
    score = logits_V[seen]
    return logits_V.index_put((seen,), torch.where(score > 0, score / penalty, score * penalty))


def best(logits_BV: Float[Tensor, "B V"]) -> Int[Tensor, "B"]:
    """The id of the largest logit of each row; of equal ones the lowest id."""
    return logits_BV.argmax(-1)


def narrow(logits_BV: Float[Tensor, "B V"], config: SamplingConfig) -> Float[Tensor, "B V"]:
    """Temperature, top-k, top-p and min-p of `config`, in this order (temperature must not be 0)."""
    logits_BV = apply_temperature(logits_BV, config.temperature)
    return keep_min_p(keep_top_p(keep_top_k(logits_BV, config.top_k), config.top_p), config.min_p)


def draw(logits_BV: Float[Tensor, "B V"], generators: Sequence[torch.Generator]) -> Int[Tensor, "B"]:
    """One token a row, with each row's own generator.

    Inverse of the cumulative distribution in float64, at one uniform number a token: a draw costs one
    random number whatever the vocabulary, and rounding in the logits moves it only at a border.
    """
    probabilities_BV = logits_BV.double().softmax(-1)
    cumulative_BV = probabilities_BV.cumsum(-1)
    uniform_B1 = torch.stack([torch.rand(1, generator=g, dtype=torch.float64) for g in generators])
    target_B1 = uniform_B1.to(cumulative_BV.device) * cumulative_BV[:, -1:]
    ids_B1 = torch.searchsorted(cumulative_BV, target_B1, right=True)
    # The product can round up to the whole sum, which would point behind the last possible token.
    last_B1 = torch.searchsorted(cumulative_BV, cumulative_BV[:, -1:].contiguous())
    return torch.minimum(ids_B1, last_B1)[:, 0]


def choose(
    logits_BV: Float[Tensor, "B V"], config: SamplingConfig, generators: Sequence[torch.Generator]
) -> Int[Tensor, "B"]:
    """The next token of each row under `config`; ModelError where a row has no finite best logit."""
    top_B = logits_BV.amax(-1)
    if not bool(torch.isfinite(top_B).all()):
        row = int((~torch.isfinite(top_B)).nonzero()[0, 0])
        raise ModelError(
            f"row {row} of the batch: the best logit is {float(top_B[row])}, so no token can be chosen; "
            "the weights or a logit processor are at fault"
        )
    if config.greedy:
        return best(logits_BV)
    return draw(narrow(logits_BV, config), generators)


def generator_for(seed: int, index: int) -> torch.Generator:
    """The random generator of the prompt at `index` of a call: the same alone, in any batch, in any order."""
    # splitmix64's finaliser spreads neighbouring (seed, index) pairs over all 64 bits.
    mixed = (seed + (index + 1) * 0x9E3779B97F4A7C15) & (2**64 - 1)
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return torch.Generator().manual_seed((mixed ^ (mixed >> 31)) >> 1)
