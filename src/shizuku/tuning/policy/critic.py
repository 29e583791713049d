"""A policy and its value model, trained together: the value model apart, as an adapter, or as a head on the
policy.

Legend: `B` rows, `T` tokens, `D` width, `N` tokens of answers.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from shizuku.adapters import surgery
from shizuku.adapters.layers import adapted_layers
from shizuku.models.accompanied import Accompanied
from shizuku.models.decoder import Decoder
from shizuku.models.heads import HeadedDecoder
from shizuku.models.layers.products import Linear
from shizuku.tuning.policy.forward import AnswerBatch

VALUE = "value"
"""Name of the value model's adapter."""


class ActorCritic(Accompanied):
    """A policy (`decoder`) and a value model.

    `separate`: a HeadedDecoder of its own that begins as a copy of the policy; where the policy is an adapter
    on a frozen base, a second adapter on the same base. `shared`: a head on the policy's own stream.
    """

    def __init__(self, policy: Decoder, critic: Literal["separate", "shared"] = "separate") -> None:
        """Put a value model that expects 0 everywhere beside `policy`."""
        super().__init__(policy)
        self.critic: HeadedDecoder | None = None
        self.head: nn.Module | None = None
        self.by_adapter = critic == "separate" and surgery.is_adapted(policy)
        if critic == "separate" and not self.by_adapter:
            self.critic = HeadedDecoder(copy.deepcopy(policy), 1)
            if self.critic.decoder.unembedding is not None:
                self.critic.decoder.unembedding.requires_grad_(False)  # nothing is read from it
            return
        self.head = Linear(policy.config.width, 1, bias=False)
        nn.init.zeros_(self.head.weight)
        if self.by_adapter:
            name = surgery.active_adapter(policy)
            assert name is not None, "the adapter that is trained acts"
            surgery.attach(policy, replace(surgery.adapter_config(policy, name)), name=VALUE, seed=1)
            surgery.activate(policy, name)
            for pair in surgery.pairs_of(policy, name).values():
                pair.requires_grad_(True)  # `attach` froze it

    def values(self, batch: AnswerBatch, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, " N"]:
        """What is expected before each token of the answers; `x_BTD` is the policy's stream there."""
        if self.critic is not None:
            values_BT1 = self.critic(batch.ids_BT, segments_BT=batch.segments_BT)
            return values_BT1[batch.mask_BT][:, 0]
        assert self.head is not None, "there is a critic or a head"
        if self.by_adapter:
            with _acting(self.decoder, VALUE):
                x_BTD = self.decoder.hidden(batch.ids_BT, segments_BT=batch.segments_BT)
        values_N1: Tensor = self.head(x_BTD[batch.mask_BT])
        return values_N1[:, 0]

    def beside(self) -> dict[str, Tensor]:
        """The value model's weights, its adapter's among them."""
        found = super().beside()
        if self.by_adapter:
            own = {
                id(parameter)
                for pair in surgery.pairs_of(self.decoder, VALUE).values()
                for parameter in pair.parameters()
            }
            found |= {
                name: parameter.detach()
                for name, parameter in self.named_parameters()
                if id(parameter) in own
            }
        return found


@contextmanager
def _acting(model: Decoder, name: str) -> Iterator[None]:
    """Inside the `with` block this adapter acts in place of the one that did."""
    before = [(layer, layer.active) for _, layer in adapted_layers(model)]
    try:
        for layer, _ in before:
            layer.active = name
        yield
    finally:
        for layer, active in before:
            layer.active = active
