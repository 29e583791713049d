"""Attention of one sequence over another, or over itself, with keys and values that can be kept.

Legend: `B` batch, `T` queries, `S` keys, `D` width, `H` heads, `K` head width.
"""

from jaxtyping import Float
from torch import Tensor, nn

from shizuku.models.hooks import HookTable
from shizuku.models.layers.attention import attend, attend_openly
from shizuku.models.layers.products import Linear
from shizuku.models.layers.visibility import Visibility

KeysValues = tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]
"""What is looked at: a key and a value for each head and each place."""


class HeadsAttention(nn.Module):
    """Attention with several heads of their own keys and values (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(width, width, bias=bias)
        self.key = Linear(width, width, bias=bias)
        self.value = Linear(width, width, bias=bias)
        self.output = Linear(width, width, bias=bias)

    def keys_values(self, x_BSD: Float[Tensor, "B S D"]) -> KeysValues:
        """Return the keys and values of a sequence, to be looked at by any number of queries."""
        return self._by_head(self.key(x_BSD)), self._by_head(self.value(x_BSD))

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        seen: KeysValues | None = None,
        visibility: Visibility | None = None,
        tap: HookTable | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Return what the queries of `x_BTD` find among `seen`, by default among themselves.

        The hook points are `pattern` [B, H, T, S], computed openly where it is wanted, and `heads`
        [B, H, T, K], what each head read.
        """
        visibility = visibility or Visibility()
        k_BHSK, v_BHSK = self.keys_values(x_BTD) if seen is None else seen
        q_BHTK = self._by_head(self.query(x_BTD))
        if tap is not None and tap.wants("pattern"):
            y_BHTK = attend_openly(q_BHTK, k_BHSK, v_BHSK, visibility, tap=tap)
        else:
            y_BHTK = attend(q_BHTK, k_BHSK, v_BHSK, visibility)
        if tap is not None:
            y_BHTK = tap("heads", y_BHTK)
        return self.output(y_BHTK.transpose(1, 2).reshape(x_BTD.shape))

    def _by_head(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B H T K"]:
        return x_BTD.view(*x_BTD.shape[:2], self.heads, -1).transpose(1, 2)
