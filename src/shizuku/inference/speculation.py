"""Tokens guessed ahead, to be checked by the model in one step: from the text itself, or by a smaller model.

A guess never changes what comes out. Every token is settled by the model's own logits and by the random
number of its place; a guess only lets the logits behind it be computed in the same step, and they count if
it was right. So the text is the same, token by token, as without guessing, sampled or not (a special case of
Leviathan et al. 2023, in which draws are tied to places).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from shizuku.errors import ConfigError, ModelError
from shizuku.inference import sampling
from shizuku.inference.blocks import BlockPool, BlockTable
from shizuku.inference.capacity import cache_blocks
from shizuku.inference.continuation import Continuation
from shizuku.inference.engine_settings import EngineSettings
from shizuku.inference.proposals import Proposals
from shizuku.inference.runtime import Runtime, Span, is_indivisible
from shizuku.progress import warn_once


class PromptLookup:
    """Guesses what followed the same tokens before; costs next to nothing."""

    def __init__(self) -> None:
        """Begin with no sequence."""
        self._read: dict[Continuation, Proposals] = {}

    def guess(self, continuations: Sequence[Continuation], most: Sequence[int]) -> list[list[int]]:
        """For each continuation, at most so many tokens that may follow its `ids`."""
        found = []
        for continuation, count in zip(continuations, most, strict=True):
            proposals = self._read.setdefault(continuation, Proposals())
            proposals.follow(continuation.ids)
            found.append(proposals.propose(count))
        return found

    def leave(self, continuation: Continuation) -> None:
        """A continuation has ended."""
        self._read.pop(continuation, None)


@dataclass(slots=True, eq=False)
class _Followed:
    """How far the draft model has read one sequence."""

    table: BlockTable
    fed: list[int] = field(default_factory=list)
    """Tokens that its cache holds, guesses that came to nothing included."""
    agreed: int = 0
    """How many of them the sequence is known to have."""


class DraftModel:
    """Guesses with a smaller model of the same vocabulary, which draws with the same random numbers.

    Its draws are those of the sequence's own settings: the more alike the two distributions are, the more
    often the same number picks the same token from both.
    """

    def __init__(self, runtime: Runtime, *, target: Runtime, settings: EngineSettings | None = None) -> None:
        """Guess for an engine on `target`; ConfigError for another vocabulary."""
        if runtime.vocab_size != target.vocab_size:
            raise ConfigError(
                f"--draft: a model with {runtime.vocab_size} tokens cannot guess for one with "
                f"{target.vocab_size}: choose one of the same family"
            )
        self._runtime, self._settings = runtime, settings or EngineSettings()
        self._pool = BlockPool(
            runtime.block_tokens,
            cache_blocks(runtime, self._settings),
            reserve=runtime.reserve,
            copy=runtime.copy_block,
            indivisible=is_indivisible(runtime),
        )
        self._followed: dict[Continuation, _Followed] = {}

    def guess(self, continuations: Sequence[Continuation], most: Sequence[int]) -> list[list[int]]:
        """For each continuation, at most so many tokens that may follow its `ids`.

        None for one whose prompt the draft model is still reading, a piece in each step, and for one that
        there is no room for.
        """
        guesses: dict[Continuation, list[int]] = {c: [] for c in continuations}
        counts = dict(zip(continuations, most, strict=True))
        going = [c for c in continuations if counts[c] > 0 and len(c.ids) < self._runtime.context]
        while going:
            logits = self._read(going, guesses)
            going = []
            for c, logits_V in logits.items():
                try:
                    drawn = _drawn(c, guesses[c], logits_V)
                except ModelError as error:  # a guess that cannot be is no guess, and ends nobody's text
                    warn_once(f"--draft: no guess, as {error}")
                    continue
                guesses[c].append(drawn)
                room = self._runtime.context - len(c.ids) - len(guesses[c])
                if drawn not in c.request.stop_ids and len(guesses[c]) < counts[c] and room > 0:
                    going.append(c)
        return [guesses[c] for c in continuations]

    def leave(self, continuation: Continuation) -> None:
        """A continuation has ended."""
        followed = self._followed.pop(continuation, None)
        if followed is not None:
            followed.table.release(continuation.ids, self._agree(followed, continuation))

    def _read(
        self, going: Sequence[Continuation], guesses: dict[Continuation, list[int]]
    ) -> dict[Continuation, np.ndarray]:
        """Feed what each lacks; logits of those that are read to their end."""
        spans, ended, read = [], [], []
        budget = self._settings.prefill_tokens
        for c in going:
            followed = self._followed_of(c)
            if not guesses[c]:
                self._agree(followed, c)
            held = len(followed.fed)
            new = [*c.ids[held:], *guesses[c]] if held < len(c.ids) else guesses[c][held - len(c.ids) :]
            whole = len(new) <= budget
            new = new[:budget]
            if not new or not followed.table.extend(held + len(new)):
                continue
            budget -= len(new)
            spans.append(Span(new, held, followed.table.blocks, "last" if whole else "none"))
            read.append((followed, new))
            if whole:
                ended.append(c)
        if not spans:
            return {}
        logits_RV = self._runtime.forward(spans)
        for followed, new in read:
            followed.fed += new
        return dict(zip(ended, logits_RV, strict=True))

    def _followed_of(self, c: Continuation) -> _Followed:
        if c not in self._followed:
            table = BlockTable(self._pool)
            held = table.share(c.ids[:-1], 0)
            self._followed[c] = _Followed(table, c.ids[:held], held)
        return self._followed[c]

    @staticmethod
    def _agree(followed: _Followed, c: Continuation) -> int:
        """Forget fed guesses that came to nothing; how many tokens are held and right.

        One token of the sequence is always left to be fed, as the logits behind it are wanted.
        """
        most = min(len(followed.fed), len(c.ids) - 1)
        agreed = min(followed.agreed, most)
        while agreed < most and followed.fed[agreed] == c.ids[agreed]:
            agreed += 1
        del followed.fed[agreed:]
        followed.agreed = agreed
        followed.table.enter(c.ids, agreed)
        return agreed


def _drawn(c: Continuation, guessed: Sequence[int], logits_V: np.ndarray) -> int:
    ids, settings = [*c.ids, *guessed], c.request.settings
    for processor in c.request.processors:
        logits_V = processor(ids, logits_V)
    logits_V = sampling.adjust(logits_V, settings, ids, c.prompt_tokens)
    uniform = sampling.uniform_for(settings.seed, c.request.index, len(ids) - c.prompt_tokens)
    return sampling.choose(logits_V, settings, uniform)
