"""Experts in several processes: each holds some of every layer's, and tokens are sent to where theirs are.

The layer knows nothing of it but that something stands between its rows and its experts. Everything else of
the model is whole in every process.

Legend: `M` rows (a token and one of its experts), `D` width, `P` processes, `E` experts of this one.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shizuku.adapters.surgery import is_adapted
from shizuku.errors import ConfigError
from shizuku.models.layers.experts import Experts, Rows, Take, sparse_layers
from shizuku.training.distribution import place


def check_experts(model: nn.Module) -> None:
    """ConfigError for a model whose experts can't be shared out among the processes."""
    layers, (_, world) = sparse_layers(model), place()
    if not layers or is_adapted(model):
        what = "an adapter is trained" if layers else "the model has no experts"
        raise ConfigError(f"--loop.parallel experts: {what}: use --loop.parallel data")
    if layers[0].count % world:
        raise ConfigError(
            f"--loop.parallel experts: {layers[0].count} experts can't be shared out equally among {world} "
            "processes: start as many as divide them"
        )


def keep_own_experts(model: nn.Module) -> None:
    """Take the experts of the other processes off the model, and let the layers exchange rows."""
    rank, world = place()
    for layer in sparse_layers(model):
        each = layer.count // world
        for name in list(layer.experts):
            if int(name) // each != rank:
                del layer.experts[name]
        layer.exchange = _Exchange(each)


def own_parameters(model: nn.Module) -> dict[Tensor, None]:
    """The parameters that no other process has, in their order; empty where none are shared out."""
    layers = [layer for layer in sparse_layers(model) if layer.exchange is not None]
    return dict.fromkeys(parameter for layer in layers for parameter in layer.experts.parameters())


def is_elsewhere(model: nn.Module, parameter: str) -> bool:
    """Whether this is the name of a parameter that another process has."""
    place, found, rest = parameter.partition(".experts.")
    if not found:
        return False
    layer = dict(model.named_modules()).get(place)
    return isinstance(layer, Experts) and rest.partition(".")[0] not in layer.experts


@torch.no_grad()
def gathered_experts(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that process 0 lacks, in process 0; all processes must ask."""
    rank, _ = place()
    found: dict[str, Tensor] = {}
    for prefix, layer in model.named_modules():
        if not isinstance(layer, Experts) or layer.exchange is None:
            continue
        each = len(layer.experts)
        like = next(iter(layer.experts.values())).state_dict()
        for expert in range(each, layer.count):
            own = layer.experts[str(expert)].state_dict() if str(expert) in layer.experts else {}
            for name, tensor in like.items():
                sent = own[name].contiguous() if own else torch.empty_like(tensor)
                dist.broadcast(sent, src=expert // each)
                if rank == 0:
                    found[f"{prefix}.experts.{expert}.{name}"] = sent
    return found


class _Exchange:
    """Brings rows that stand together by expert to their experts' processes, and the results back."""

    def __init__(self, each: int) -> None:
        self._each = each

    def __call__(self, rows_MD: Tensor, counts: list[int], compute: Rows) -> Tensor:
        sent_PE = torch.tensor(counts).view(-1, self._each).to(rows_MD.device)
        arriving_PE = torch.empty_like(sent_PE)
        dist.all_to_all_single(arriving_PE, sent_PE)
        sent, arriving = sent_PE.sum(1).tolist(), arriving_PE.sum(1).tolist()
        arrived_MD = _AllToAll.apply(rows_MD, sent, arriving)
        # They stand together by process and within it by expert; by expert alone they can be multiplied.
        expert_M = torch.arange(self._each, device=rows_MD.device).repeat(len(arriving_PE))
        order_M = expert_M.repeat_interleave(arriving_PE.reshape(-1)).argsort(stable=True)
        back_M = torch.empty_like(order_M).scatter_(0, order_M, torch.arange(len(order_M)).to(order_M))
        y_MD = compute(Take.apply(arrived_MD, order_M, back_M[:, None]), arriving_PE.sum(0).tolist())
        done: Tensor = _AllToAll.apply(Take.apply(y_MD, back_M, order_M[:, None]), arriving, sent)
        return done


class _AllToAll(torch.autograd.Function):
    """Rows to other processes and from them, so many to and from each; gradients go the other way."""

    @staticmethod
    def forward(ctx: Any, rows_MD: Tensor, sent: list[int], arriving: list[int]) -> Tensor:
        ctx.sent, ctx.arriving = sent, arriving
        return _all_to_all(rows_MD, sent, arriving)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_MD: Tensor) -> tuple[Tensor, None, None]:
        return _all_to_all(dy_MD, ctx.arriving, ctx.sent), None, None


def _all_to_all(rows_MD: Tensor, sent: list[int], arriving: list[int]) -> Tensor:
    found_MD = rows_MD.new_empty(sum(arriving), rows_MD.shape[1])
    dist.all_to_all_single(found_MD, rows_MD.contiguous(), arriving, sent)
    return found_MD
