"""Why an estimate of a divergence, which is never negative, came out negative."""

import math
from collections.abc import Mapping

FALSE_ALARMS = 0.01
"""Share of runs, however long, that may be told of more than chance where there is nothing else."""
NOTHING = 1e-4
"""A divergence of an answer that rounding makes."""
GAP = 1e-3
"""Difference between engine and training forward, in nats of a token, that rounding does not make."""


def least_by_chance(answers: int, turn: int) -> float:
    """The mean of log p/q over a round's `answers` below which chance is no likely cause, in round `turn`.

    Answers are drawn from p, so q/p of each averages to at most 1, and so does the product over answers that
    are drawn independently of one another, also where they share a prompt. By Markov's inequality the
    product passes 1/d with a probability of at most d, that is, the mean of log p/q falls below -ln(1/d) /
    answers. Nothing is assumed of how the answers spread, so few answers need no other rule. Every round is
    tested: round r has d = FALSE_ALARMS / (r (r + 1)), which sums to FALSE_ALARMS over all rounds.
    """
    return -math.log(turn * (turn + 1) / FALSE_ALARMS) / answers


def explain_negative(
    figures: Mapping[str, float], *, answers: int, turn: int, adapted: bool = False
) -> str | None:
    """A message for a person if the round's divergence is negative, with the likely causes in their order.

    `figures` are those of a round: `rollout/kl` (mean over answers of the sum of log p/q), its standard
    error, the k3 estimate and the gap between the engine's log-probabilities and the training forward's.
    `answers` is how many there were, `turn` the number of the round, from 1.
    """
    kl, error = figures["rollout/kl"], figures["rollout/kl_error"]
    if kl >= 0 or kl > -NOTHING:
        return None
    k3, gap = figures["rollout/kl_k3"], figures["rollout/engine_gap"]
    said = (
        f"the divergence from the reference is estimated at {kl:.4f} nats an answer (standard error "
        f"{error:.4f}). A divergence is never negative; its estimate, the mean of log p/q over sampled "
        f"answers, can be. The estimate that can't be (k3) says {k3:.4f}."
    )
    if gap > GAP:
        return (
            f"{said} Likely cause: answers were not drawn from the policy that is trained: a token's "
            f"log-probability differs by up to {gap:.3g} nats between the engine and the training forward "
            "(another temperature, top-k or top-p, a logit processor, dropout, or weights that the engine "
            "has not seen)."
        )
    least = least_by_chance(answers, turn)
    if kl > least:
        return (
            f"{said} Likely cause: chance, which in round {turn:,} of {answers:,} answers may go down to "
            f"{least:.3g}."
        )
    reference = "the adapter's base" if adapted else "a frozen copy of the model that the run began with"
    return (
        f"{said} That is more than chance, and the engine draws from the trained policy, so look at what is "
        f"measured: tokens behind the answer's end that are counted, a reference other than {reference}, or "
        "an answer changed after it was drawn (cut, or its end replaced)."
    )
