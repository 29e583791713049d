"""The compute law of language models: loss as a function of parameters and tokens.

L(N, D) = E + A / N^alpha + B / D^beta, in nats a token (Hoffmann et al. 2022, arXiv 2203.15556, approach 3).
"""

import math
from dataclasses import dataclass

from shizuku.errors import ConfigError

FLOPS_PER_PARAMETER = 6.0
"""Training FLOPs per parameter and token: 2 forward, 4 backward."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingLaw:
    """The five constants of a fitted law."""

    name: str
    irreducible: float
    parameter_scale: float
    token_scale: float
    parameter_power: float
    token_power: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Predicted loss in nats a token."""
        if parameters <= 0 or tokens <= 0:
            raise ConfigError(
                f"a loss is predicted for positive sizes, got {parameters} parameters, {tokens} tokens"
            )
        return (
            self.irreducible
            + self.parameter_scale / parameters**self.parameter_power
            + self.token_scale / tokens**self.token_power
        )

    def optimum(self, flops: float) -> tuple[float, float]:
        """The parameters and tokens with the lowest loss among all with 6 N D = `flops` (closed form)."""
        a, b = self.parameter_power, self.token_power
        ratio = (a * self.parameter_scale / (b * self.token_scale)) ** (1 / (a + b))
        product = flops / FLOPS_PER_PARAMETER
        parameters = ratio * product ** (b / (a + b))
        return parameters, product / parameters


CHINCHILLA_AS_PRINTED = ScalingLaw(
    name="Hoffmann et al. 2022, constants as printed",
    irreducible=1.69,
    parameter_scale=406.4,
    token_scale=410.7,
    parameter_power=0.34,
    token_power=0.28,
)
CHINCHILLA_REFIT = ScalingLaw(
    name="Besiroglu et al. 2024, refit of the same runs",
    irreducible=1.8172,
    parameter_scale=482.01,
    token_scale=2085.43,
    parameter_power=0.3478,
    token_power=0.3658,
)


def effective_tokens(seen: float, unique: float, *, half_life: float = 15.39) -> float:
    """What `seen` tokens are worth when only `unique` of them differ (Muennighoff et al. 2023, eq. 5).

    Up to one pass a token is worth a token; each further pass is worth less, `half_life` passes in all.
    """
    if seen <= unique:
        return seen
    repeats = seen / unique - 1
    return unique + unique * half_life * (1 - math.exp(-repeats / half_life))
