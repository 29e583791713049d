"""AdamW (Loshchilov and Hutter 2019) by PyTorch's fused kernel.

Not `torch.optim.AdamW`: its base class imports PyTorch's compiler, which takes as long as importing PyTorch.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from shizuku.training.sharding import local


class AdamW:
    """Moves every parameter by its own averages; groups give `params`, `lr` and `weight_decay`."""

    def __init__(self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float], eps: float) -> None:
        self.param_groups = list(groups)
        self.betas, self.eps = betas, eps
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        """By parameter: its steps, and the averages of its gradient and of the gradient's square."""

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            moved, gradients = [], []
            for parameter in group["params"]:
                if parameter.grad is not None:
                    moved.append(parameter)
                    gradients.append(local(parameter.grad))
            if not moved:
                continue
            states = [self._state_of(parameter) for parameter in moved]
            torch._fused_adamw_(
                [local(parameter) for parameter in moved],
                gradients,
                [local(state["exp_avg"]) for state in states],
                [local(state["exp_avg_sq"]) for state in states],
                [],
                [state["step"] for state in states],
                lr=group["lr"],
                beta1=self.betas[0],
                beta2=self.betas[1],
                weight_decay=group["weight_decay"],
                eps=self.eps,
                amsgrad=False,
                maximize=False,
            )
            # The fused kernel does not, and whoever caches what was computed with them has to see it.
            torch.autograd.graph.increment_version(moved)

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        return state
