"""How probable the same few answers are behind many contexts, each context read once, what is common once.

Legend: `N` contexts, `C` choices, `V` vocabulary.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from shizuku.errors import ModelError
from shizuku.inference import sampling
from shizuku.inference.engine import Engine
from shizuku.inference.runtime import Span, is_indivisible
from shizuku.inference.validation import check_prompt
from shizuku.progress import track


def choice_log_probs(
    engine: Engine,
    contexts: Sequence[Sequence[int]],
    choices: Sequence[Sequence[int]],
    *,
    adapter: str | None = None,
) -> Float[np.ndarray, "N C"]:
    """Log-probability in nats of each choice behind each context, under one adapter or none: what
    `score_sequences` gives, with less reading. What a context has in common with the one before it (an
    instruction, examples) is not read again.

    Raises ModelError for contexts and choices without tokens, and for what doesn't fit the window.
    """
    runtime = engine.runtime
    if not all(contexts) or not all(choices):
        raise ModelError("a context and a choice need one token or more")
    longest = max(map(len, contexts), default=0) + max(map(len, choices), default=0)
    for context in contexts:
        check_prompt(context, 0, context=runtime.context, vocab_size=runtime.vocab_size)
    if longest > runtime.context:
        raise ModelError(
            f"a context with a choice has up to {longest} tokens, the context length is {runtime.context}: "
            "shorten the texts, or show fewer examples"
        )
    found_NC = np.zeros((len(contexts), len(choices)))
    with engine.borrowed(longest) as blocks:
        before: Sequence[int] = ()
        for number, context in enumerate(track(contexts, "reading contexts")):
            kept = 0 if is_indivisible(runtime) else _common(before, context)
            rows = runtime.forward([Span(context[kept:], kept, blocks, "last", adapter)])
            behind_V = rows[0] - sampling.log_normalisers(rows)[0]
            for place, choice in enumerate(choices):
                total = float(behind_V[choice[0]])
                if len(choice) > 1:
                    rows = runtime.forward([Span(choice[:-1], len(context), blocks, "all", adapter)])
                    own = np.take_along_axis(rows, np.asarray(choice[1:])[:, None], -1)[:, 0]
                    total += float((own - sampling.log_normalisers(rows)).sum())
                found_NC[number, place] = total
            before = context
    return found_NC


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with, the last of `other` not counted: something has to be read."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return min(at, len(other) - 1)
    return min(len(one), len(other) - 1)
