"""The gated delta rule (Yang et al. 2024): a memory that fades by a gate, and writes only what it got wrong.

For every head a matrix S holds what keys stand for. A token fades it, S' = a S with 0 < a <= 1, reads what
is under its key, and moves that towards its value by a share b: S = S' + k (b (v - S'^T k))^T; the answer
is S^T q. Three forms compute the same: token by token (`sequential`), one token on a state (`step`), and
chunk by chunk (`chunked`), where inside a chunk all is products of matrices and one triangular system.

A document's first token finds an empty memory. A token with b = 0 and a = 1 leaves no trace.

Legend: `B` batch, `T` tokens, `H` heads, `K` features of a key, `E` features of a value, `N` chunks, `C`
tokens of a chunk.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

CHUNK = 32
"""Tokens of a chunk: 16 to 64 are alike on processors, 128 is slower (benchmarks/delta_rule.py)."""


@dataclass(frozen=True, slots=True)
class DeltaInput:
    """What a layer hands to the rule for every token."""

    q_BHTK: Float[Tensor, "B H T K"]
    """Queries."""
    k_BHTK: Float[Tensor, "B H T K"]
    """Keys, of length at most one, or the memory may grow without bound."""
    v_BHTE: Float[Tensor, "B H T E"]
    """Values."""
    fade_BHT: Float[Tensor, "B H T"]
    """Logarithm of what is left of the memory, at most 0."""
    share_BHT: Float[Tensor, "B H T"]
    """How far what stands under the key moves towards the value, 0 to 1 (b above)."""
    documents_BT: Int[Tensor, "B T"] | None = None
    """Number of the token's document, rising along the row; those of number 0 go on with the state that is
    given, others start on an empty one. None means all 0."""

    @property
    def empty_BHKE(self) -> Float[Tensor, "B H K E"]:
        """An empty memory for these."""
        (batch, heads, _, width), features = self.k_BHTK.shape, self.v_BHTE.shape[-1]
        return self.v_BHTE.new_zeros(batch, heads, width, features)


Output = tuple[Float[Tensor, "B H T E"], Float[Tensor, "B H K E"]]
"""The answers, and the memory after the last token."""


def step(given: DeltaInput, memory_BHKE: Tensor | None = None) -> Output:
    """Return the answer to the only token of each row, and the memory after it."""
    memory = given.empty_BHKE if memory_BHKE is None else memory_BHKE
    keep_BH11 = given.fade_BHT.exp()[..., None]
    if given.documents_BT is not None:
        keep_BH11 = keep_BH11 * (given.documents_BT == 0)[:, None, :, None]
    memory = memory * keep_BH11
    wrong_BH1E = given.v_BHTE - given.k_BHTK @ memory
    memory = memory + given.k_BHTK.mT @ (wrong_BH1E * given.share_BHT[..., None])
    return given.q_BHTK @ memory, memory


def sequential(given: DeltaInput, memory_BHKE: Tensor | None = None) -> Output:
    """Return answers and memory, token by token: the definition, and what the other forms are held to."""
    answers, documents = [], given.documents_BT
    for t in range(given.q_BHTK.shape[2]):
        now = slice(t, t + 1)
        here = None
        if documents is not None:
            here = documents[:, now] if t == 0 else documents[:, now] - documents[:, t - 1 : t]
        token = DeltaInput(
            given.q_BHTK[:, :, now], given.k_BHTK[:, :, now], given.v_BHTE[:, :, now],
            given.fade_BHT[:, :, now], given.share_BHT[:, :, now], here,
        )  # fmt: skip
        answer_BH1E, memory_BHKE = step(token, memory_BHKE)
        answers.append(answer_BH1E)
    assert memory_BHKE is not None, "there is at least one token"
    return torch.cat(answers, 2), memory_BHKE


def chunked(given: DeltaInput, memory_BHKE: Tensor | None = None, *, chunk: int = CHUNK) -> Output:
    """Return answers and memory, chunk by chunk.

    Inside a chunk the values that are really written, W, are what remains after all earlier writes of the
    chunk are read back: (1 + A) W = b (v - a S^T k), with A the products of keys below the diagonal, faded
    (the WY form of Yang et al. 2024).
    """
    tokens = given.q_BHTK.shape[2]
    chunk = min(chunk, tokens)
    given = _filled(given, -tokens % chunk)
    q, k, v = (x.unflatten(2, (-1, chunk)) for x in (given.q_BHTK, given.k_BHTK, given.v_BHTE))
    share = given.share_BHT.unflatten(2, (-1, chunk))[..., None]
    between_BHNCC, since_BHNC1, until_BHNC1, across_BHN11 = _fading(given, chunk)
    shared_k = k * share
    apart_BHNCC = (shared_k @ k.mT) * between_BHNCC
    inside_BHNCC = (q @ k.mT) * between_BHNCC
    # Unbound at once: to take chunk after chunk by index would make a full gradient of zeros for each.
    pieces = (
        x.unbind(2)
        for x in (q * since_BHNC1, shared_k * since_BHNC1, k * until_BHNC1, v * share, apart_BHNCC,
                  inside_BHNCC, across_BHN11)
    )  # fmt: skip
    memory = given.empty_BHKE if memory_BHKE is None else memory_BHKE
    answers = []
    for q_n, shared_n, k_n, v_n, apart_n, inside_n, across_n in zip(*pieces, strict=True):
        written = _unmixed(apart_n, v_n - shared_n @ memory)
        answers.append(q_n @ memory + inside_n @ written)
        memory = memory * across_n + k_n.mT @ written
    return torch.cat(answers, 2)[:, :, :tokens], memory


def _unmixed(apart_CC: Tensor, mixed_CE: Tensor) -> Tensor:
    """Solve (1 + apart) x = mixed, what is on and above the diagonal not looked at; not in 16 bits, for which
    processors have no such solver.
    """
    wide = torch.promote_types(mixed_CE.dtype, torch.float32)
    found = torch.linalg.solve_triangular(
        apart_CC.to(wide), mixed_CE.to(wide), upper=False, unitriangular=True
    )
    return found.to(mixed_CE.dtype)


def _fading(given: DeltaInput, chunk: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How much is left from token to token of a chunk [C, C], of the chunk's beginning at a token [C, 1], of
    a token at its end [C, 1], and of its beginning at its end [1, 1]; nothing across documents.

    Sums of logarithms are differences of running sums, which float32 would cancel: float64 keeps them.
    """
    sums_BHNC = given.fade_BHT.double().unflatten(2, (-1, chunk)).cumsum(-1)
    between = (sums_BHNC[..., :, None] - sums_BHNC[..., None, :]).to(given.fade_BHT.dtype)
    below = torch.ones(chunk, chunk, dtype=torch.bool, device=between.device).tril()
    since, until = sums_BHNC, sums_BHNC[..., -1:] - sums_BHNC
    since, until = since.to(between.dtype).exp(), until.to(between.dtype).exp()
    if given.documents_BT is not None:
        numbers_BNC = given.documents_BT.unflatten(1, (-1, chunk))
        ends_BN = numbers_BNC[..., -1]
        begins_BN1 = torch.cat([torch.zeros_like(ends_BN[:, :1]), ends_BN[:, :-1]], 1)[..., None]
        same_BNCC = numbers_BNC[..., :, None] == numbers_BNC[..., None, :]
        below = (below & same_BNCC)[:, None]
        since = since * (numbers_BNC == begins_BN1)[:, None]
        until = until * (numbers_BNC == ends_BN[..., None])[:, None]
    between = between.masked_fill(~below, -torch.inf).exp()
    return between, since[..., None], until[..., None], since[..., -1:, None]


def _filled(given: DeltaInput, missing: int) -> DeltaInput:
    """The same with `missing` tokens more that leave no trace."""
    if missing == 0:
        return given
    q, k, v = (F.pad(x, (0, 0, 0, missing)) for x in (given.q_BHTK, given.k_BHTK, given.v_BHTE))
    fade, share = (F.pad(x, (0, missing)) for x in (given.fade_BHT, given.share_BHT))
    documents = given.documents_BT
    if documents is not None:
        documents = torch.cat([documents, documents[:, -1:].expand(-1, missing)], 1)
    return DeltaInput(q, k, v, fade, share, documents)
