"""From logits to the next token: pure functions on one sequence's logits, and one keyed draw for each token.

V vocabulary, N candidates. The order is that of `transformers`: processors and penalties on the raw logits,
then temperature, top-k, top-p, min-p. A token that is not to be chosen has the logit -inf.

Ties are settled everywhere by the lower id, so equal logits give equal results on every machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64, Int

from shizuku.errors import ConfigError, ModelError

# So many of the largest logits are looked at before a whole vocabulary is sorted for top-p.
NUCLEUS_CANDIDATES = 512
# The strongest bias of one token that OpenAI's API takes.
LARGEST_BIAS = 100.0
_64_BITS = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15

COLDEST = 1e-6
"""Below this temperature only the best token has a chance that float32 can tell from none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig:
    """How the next token is chosen; the defaults leave the model's distribution as it is."""

    temperature: float = 1.0
    """Divides the logits; 0 (and what float32 cannot divide by, below 1e-6) always takes the best token."""
    top_k: int | None = None
    """Keep only the k best tokens; none: keep all."""
    top_p: float = 1.0
    """Keep the fewest best tokens whose probabilities sum to at least this; 1: keep all."""
    min_p: float = 0.0
    """Keep tokens at least this many times as probable as the best one; 0: keep all."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that have already occurred (in the prompt too) become less likely."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token that the continuation already has (as in OpenAI's API)."""
    frequency_penalty: float = 0.0
    """Subtracted as often as the continuation already has the token."""
    logit_bias: dict[int, float] = field(default_factory=dict)
    """Added to the logits of these token ids, -100 to 100."""
    seed: int = 0
    """Seed of the draws; together with a prompt's index in the call it settles the result."""

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, 0 <= self.temperature < math.inf, "a number >= 0")
        _check("top-k", self.top_k, self.top_k is None or self.top_k >= 1, "a whole number >= 1")
        _check("top-p", self.top_p, 0 < self.top_p <= 1, "a number above 0 and up to 1")
        _check("min-p", self.min_p, 0 <= self.min_p <= 1, "a number from 0 to 1")
        penalty = self.repetition_penalty
        _check("repetition-penalty", penalty, 0 < penalty < math.inf, "a number above 0 (1 changes nothing)")
        for name in ("presence_penalty", "frequency_penalty"):
            value = getattr(self, name)
            _check(name.replace("_", "-"), value, math.isfinite(value), "a number (0 changes nothing)")
        for token, bias in self.logit_bias.items():
            good = isinstance(token, int) and token >= 0 and abs(bias) <= LARGEST_BIAS
            _check("logit-bias", f"{token}: {bias}", good, "token ids with numbers from -100 to 100")
        _check("seed", self.seed, 0 <= self.seed < 2**63, "a whole number from 0 to 2**63 - 1")

    @property
    def greedy(self) -> bool:
        """Whether the best token is always taken."""
        return self.temperature < COLDEST


def _check(flag: str, value: object, good: bool, expected: str) -> None:
    if not good:
        raise ConfigError(f"--{flag} {value}: expected {expected}")


# ---- what changes logits


def penalise_repetition(
    logits_V: Float[np.ndarray, "V"], ids: Sequence[int], penalty: float
) -> Float[np.ndarray, "V"]:
    """Divide positive and multiply negative logits of tokens in `ids` by `penalty` (Keskar et al. 2019)."""
    if penalty == 1 or not ids:
        return logits_V
    seen = np.unique(np.asarray(ids))
    score, logits_V = logits_V[seen], logits_V.copy()
    logits_V[seen] = np.where(score > 0, score / penalty, score * penalty)
    return logits_V


def penalise_presence(
    logits_V: Float[np.ndarray, "V"], made: Sequence[int], presence: float, frequency: float
) -> Float[np.ndarray, "V"]:
    """Subtract `presence` once and `frequency` for every occurrence from tokens in `made` (OpenAI's API)."""
    if not made or presence == 0 == frequency:
        return logits_V
    seen, counts = np.unique(np.asarray(made), return_counts=True)
    logits_V = logits_V.copy()
    logits_V[seen] -= presence + frequency * counts
    return logits_V


def adjust(
    logits_V: Float[np.ndarray, "V"], config: SamplingConfig, ids: Sequence[int], prompt_tokens: int
) -> Float[np.ndarray, "V"]:
    """Penalties and bias of `config`, for a sequence `ids` of which the first tokens are the prompt."""
    if config.repetition_penalty != 1:
        logits_V = penalise_repetition(logits_V, ids, config.repetition_penalty)
    if config.presence_penalty or config.frequency_penalty:
        made = ids[prompt_tokens:]
        logits_V = penalise_presence(logits_V, made, config.presence_penalty, config.frequency_penalty)
    if config.logit_bias:
        logits_V = logits_V.copy()
        for token, bias in config.logit_bias.items():
            if token >= len(logits_V):
                raise ConfigError(
                    f"--logit-bias {token}: {bias}: expected token ids from 0 to {len(logits_V) - 1}"
                )
            logits_V[token] += bias
    return logits_V


# ---- what narrows the choice


def largest(values_N: Float[np.ndarray, "N"], count: int) -> Int[np.ndarray, "C"]:
    """Places of the `count` (>= 1) largest values, ascending; of equal values, those that come first."""
    if count >= len(values_N):
        return np.arange(len(values_N))
    threshold = np.partition(values_N, len(values_N) - count)[len(values_N) - count]
    above = np.flatnonzero(values_N > threshold)
    equal = np.flatnonzero(values_N == threshold)[: count - len(above)]
    return np.sort(np.concatenate([above, equal]))


def top_p_count(logits_N: Float[np.ndarray, "N"], p: float) -> int:
    """How many of the best tokens are the fewest whose probabilities sum to at least `p`.

    The nucleus of Holtzman et al. 2020; at least 1.
    """
    weights_N = _weights(logits_N)
    total, size = weights_N.sum(), len(weights_N)
    for candidates in (min(NUCLEUS_CANDIDATES, size), size):
        best_C = np.partition(weights_N, size - candidates)[size - candidates :]
        mass_C = np.cumsum(np.sort(best_C)[::-1]) / total
        count = int((mass_C < p).sum()) + 1
        if count <= candidates:
            return count
    return size


def narrow(
    logits_V: Float[np.ndarray, "V"], config: SamplingConfig
) -> tuple[Int[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    """Ids, ascending, and logits of what temperature, top-k, top-p and min-p leave, in this order.

    The temperature must not be 0, which is not a distribution: take `best`.
    """
    ids_N, logits_N = np.arange(len(logits_V)), logits_V
    if config.temperature != 1:
        logits_N = logits_N / config.temperature
    if config.top_k is not None and config.top_k < len(logits_N):
        ids_N = largest(logits_N, config.top_k)
        logits_N = logits_N[ids_N]
    if config.top_p < 1:
        places = largest(logits_N, top_p_count(logits_N, config.top_p))
        ids_N, logits_N = ids_N[places], logits_N[places]
    if config.min_p > 0:  # Nguyen et al. 2024
        places = np.flatnonzero(logits_N >= logits_N.max() + math.log(config.min_p))
        ids_N, logits_N = ids_N[places], logits_N[places]
    return ids_N, logits_N


# ---- what chooses


def best(logits_V: Float[np.ndarray, "V"]) -> int:
    """The id of the largest logit; of equal ones the lowest id."""
    return int(logits_V.argmax())


def draw(logits_N: Float[np.ndarray, "N"], uniform: float) -> int:
    """The place that `uniform`, a number in [0, 1), picks from the distribution of the logits.

    Inverse of the cumulative distribution in float64: a draw costs one random number whatever the
    vocabulary, and rounding in the logits moves it only at a border.
    """
    cumulative_N = np.cumsum(_weights(logits_N))
    place = int(np.searchsorted(cumulative_N, uniform * cumulative_N[-1], side="right"))
    # The product can round up to the whole sum, which would point behind the last possible token.
    return min(place, int(np.searchsorted(cumulative_N, cumulative_N[-1])))


def check_numbers(values_N: Float[np.ndarray, "*dims"]) -> None:
    """ModelError where one of what a model said is no number: sound weights never lead to that."""
    if np.isnan(values_N).any():
        raise ModelError(
            "the model computes NaN instead of numbers: its weights are damaged, or too large for their type"
        )


def choose(logits_V: Float[np.ndarray, "V"], config: SamplingConfig, uniform: float) -> int:
    """The next token under `config`; ModelError where there is no finite best logit."""
    top = best(logits_V)
    if not math.isfinite(logits_V[top]):
        raise ModelError(
            f"the best logit is {float(logits_V[top])}, so no token can be chosen; "
            "the weights or a logit processor are at fault"
        )
    if config.greedy or config.top_k == 1:
        return top
    ids_N, logits_N = narrow(logits_V, config)
    return int(ids_N[draw(logits_N, uniform)])


def uniform_for(seed: int, index: int, place: int) -> float:
    """The random number in [0, 1) that settles token number `place` of the prompt at `index` of a call.

    A function of the three alone: the same in any batch, in any order, and computed once more after an
    interruption. It is splitmix64 (Steele et al. 2014) begun at a mixture of seed and index.
    """
    state = _mixed(seed + (index + 1) * _GOLDEN)
    return (_mixed(state + (place + 1) * _GOLDEN) >> 11) * 2.0**-53


def _mixed(number: int) -> int:
    number &= _64_BITS
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return number ^ (number >> 31)


def _weights(logits_N: Float[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
    """Probabilities up to a factor: the best one is 1."""
    return np.exp(logits_N.astype(np.float64) - float(logits_N.max()))


# ---- what is told about the choice


def log_normalisers(logits_BV: Float[np.ndarray, "B V"]) -> Float64[np.ndarray, "B"]:
    """The logarithm in nats of each row's sum of exponentials: a logit minus it is a log-probability."""
    highest_B = logits_BV.max(-1)
    # float32 exponentials, each right to 1e-7, summed in float64: fast, and far below what a logit is worth.
    sums_B = np.exp(logits_BV - highest_B[:, None]).sum(-1, dtype=np.float64)
    return highest_B + np.log(sums_B)


def best_tokens(
    logits_V: Float[np.ndarray, "V"], normaliser: float, count: int
) -> tuple[tuple[int, float], ...]:
    """The `count` likeliest tokens with their log-probabilities, best first, lower id first among equals."""
    if count == 0:
        return ()
    pairs = [(int(token), float(logits_V[token]) - normaliser) for token in largest(logits_V, count)]
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
