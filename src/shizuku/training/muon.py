"""Muon: momentum whose matrices are orthogonalised before they are applied, iterated in float32.

Shapes: a matrix is [R, C] (rows = outputs, columns = inputs); equal shapes are stacked to [M, R, C].
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from shizuku.training.sharding import is_sharded, local, on_whole_matrices

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration, chosen for a steep slope at zero (Jordan et al. 2024)."""


def orthogonalise(g_MRC: Tensor, iterations: int) -> Tensor:
    """Matrices with the singular vectors of `g_MRC` [M, R, C] and singular values near one (0.7 to 1.2).

    Newton-Schulz in the input's own precision: bfloat16, which is usual on GPUs, is many times slower on
    CPUs.
    """
    a, b, c = COEFFICIENTS
    tall = g_MRC.shape[-2] > g_MRC.shape[-1]
    x_MRC = g_MRC.mT if tall else g_MRC
    x_MRC = x_MRC / (x_MRC.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram_MRR = x_MRC @ x_MRC.mT
        polynomial_MRR = torch.baddbmm(gram_MRR, gram_MRR, gram_MRR, beta=b, alpha=c)
        x_MRC = torch.baddbmm(x_MRC, polynomial_MRR, x_MRC, beta=a)
    return x_MRC.mT if tall else x_MRC


class Muon:
    """Muon (Jordan et al. 2024) for the matrices of the blocks, with Nesterov momentum and decoupled decay.

    A group may carry `parts`: into how many equal blocks of rows each of its matrices is split before it is
    orthogonalised (3 for a fused query-key-value projection). Raises ValueError for parameters that are not
    matrices.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        iterations: int = 5,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "iterations": iterations}
        self.param_groups: list[dict[str, Any]] = [{**defaults, "parts": 1, **group} for group in groups]
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() != 2 or parameter.shape[0] % group["parts"]:
                    raise ValueError(
                        f"Muon takes matrices whose rows divide by {group['parts']}, "
                        f"not {tuple(parameter.shape)}"
                    )

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self._move(parameters, group)

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        momentum, parts = group["momentum"], group["parts"]
        rows, columns = parameters[0].shape
        updates = []
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None, "only parameters with a gradient are moved"
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            average = local(state["momentum"]).lerp_(local(gradient), 1 - momentum)
            updates.append(local(gradient).lerp(average, momentum))

        def turn(g_MRC: Tensor) -> Tensor:
            blocks_MRC = g_MRC.reshape(-1, rows // parts, columns)
            return orthogonalise(blocks_MRC, group["iterations"]).reshape(-1, rows, columns)

        sharded = is_sharded(parameters[0])
        turned = on_whole_matrices(updates, rows, turn) if sharded else turn(torch.stack(updates)).unbind()
        scale = max(1.0, rows / parts / columns) ** 0.5
        for parameter, update in zip(parameters, turned, strict=True):
            weight = local(parameter)
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(update, alpha=-group["lr"] * scale)
