"""Why an estimate of a divergence, which is never negative, came out negative."""

from collections.abc import Mapping

FAR = 5.0
"""Standard errors below 0 from which chance is no likely cause: every round is looked at, and the error
itself is estimated: of rounds with 8 answers about one in 1,300 is beyond it (Student's t of 7 degrees)."""
NOTHING = 1e-4
"""A divergence of an answer that rounding makes."""
GAP = 1e-3
"""Difference between engine and training forward, in nats of a token, that rounding does not make."""


def explain_negative(figures: Mapping[str, float], *, adapted: bool = False) -> str | None:
    """A message for a person if the round's divergence is negative, with the likely causes in their order.

    `figures` are those of a round: `rollout/kl` (mean over answers of the sum of log p/q), its standard
    error, the k3 estimate and the gap between the engine's log-probabilities and the training forward's.
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
    if kl > -FAR * error:
        return f"{said} Likely cause: chance, as it is within {FAR:g} standard errors of 0."
    reference = "the adapter's base" if adapted else "a frozen copy of the model that the run began with"
    return (
        f"{said} That is more than chance, and the engine draws from the trained policy, so look at what is "
        f"measured: tokens behind the answer's end that are counted, a reference other than {reference}, or "
        "an answer changed after it was drawn (cut, or its end replaced)."
    )
