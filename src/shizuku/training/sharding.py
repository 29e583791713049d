"""Weights in several processes: whole in each, or a share of every tensor's rows in each (FSDP2), or whole
but for the experts, of which each has some.

The model knows nothing of it: it is wrapped from outside. Shapes: a matrix is [R, C], a process has [r, C].
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shizuku.quantization.surgery import is_quantized
from shizuku.training.distribution import as_first_says, place
from shizuku.training.expert_parallel import check_experts, gathered_experts, keep_own_experts

Parallel = Literal["data", "fsdp", "experts"]
M_MMAP_THRESHOLD = -3
"""glibc's number for the size from which a block has memory of its own."""


def spread(model: nn.Module, parallel: Parallel) -> None:
    """Give every process the weights of process 0: all of them, with `fsdp` its share of each, with
    `experts` all but the experts of the others.

    In the other processes the model may be on the meta device, so that only process 0 ever holds a whole one.
    Blocks are gathered one at a time while they compute; what is outside of them stays whole from the
    forward pass to the end of the backward pass, so that an objective can use the output matrix.
    """
    rank, world = place()
    if parallel == "experts":
        check_experts(model)
    if world == 1:
        return
    parameters = dict(model.named_parameters())
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    assert parallel == "data" or not is_quantized(model), "packed matrices are not sharded"
    device = torch.device(as_first_says(next(iter(parameters.values())).device.type))
    given = {name: parameter.detach() for name, parameter in parameters.items()} if rank == 0 else {}
    if parallel == "fsdp":
        _shard(model, device)
    elif parallel == "experts":
        keep_own_experts(model)
    if any(parameter.is_meta for parameter in model.parameters()):
        model.to_empty(device=device)
    kept = dict(model.named_parameters())
    for name, shape in shapes.items():
        sent = given.pop(name) if rank == 0 else torch.empty(shape, device=device)
        _send(sent, kept.get(name))
    for packed in model.buffers():
        dist.broadcast(packed.view(torch.uint8), src=0)  # as bytes: gloo does not know every type


@torch.no_grad()
def _send(sent: Tensor, parameter: nn.Parameter | None) -> None:
    dist.broadcast(sent, src=0)
    if parameter is None:
        return
    if is_sharded(parameter):
        from torch.distributed.tensor import distribute_tensor

        mesh, placements = parameter.device_mesh, parameter.placements  # type: ignore[attr-defined]
        sent = distribute_tensor(sent, mesh, placements, src_data_rank=None)
    parameter.copy_(sent)


def _shard(model: nn.Module, device: torch.device) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

    if device.type == "cpu":
        _give_back_freed_memory()
    mesh = init_device_mesh(device.type, (place()[1],))
    for block in model.blocks:  # type: ignore[union-attr]
        assert isinstance(block, nn.Module)
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "hidden")
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Losses are divided by global counts already; gloo can only sum.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def _give_back_freed_memory() -> None:
    """Let glibc return large blocks to the system: gathered weights come and go all the time, and it would
    keep them, so that sharding saved nothing (docs/lab-notes.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 20)


def is_sharded(tensor: Tensor) -> bool:
    """Whether each process has a share of this tensor."""
    return hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """This process's share, in the same memory; of an unsharded tensor all of it."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor of which each process has a share; all processes must ask."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


def release(model: nn.Module) -> None:
    """Go back to shares after a forward pass that no backward pass follows."""
    if hasattr(model, "reshard"):
        model.reshard()  # type: ignore[operator]


@torch.no_grad()
def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict with whole tensors, in process 0; all processes must ask."""
    rank, _ = place()
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        complete = whole(tensor)
        if rank == 0:
            weights[name] = complete
    return weights | gathered_experts(model)


def on_whole_matrices(shares: list[Tensor], rows: int, act: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """`act` on stacked whole matrices [M, R, C], of each of which this process has a share [r, C].

    The matrices are dealt out to the processes, which send each other their rows, act, and send the results
    back: the work is shared too. Returns this process's rows of each result.
    """
    rank, world = place()
    columns = shares[0].shape[1]
    height = -(-rows // world)  # of a share; the last ones may be shorter
    each = -(-len(shares) // world)  # matrices that a process acts on
    sent = shares[0].new_zeros(world, each, height, columns)
    for number, share in enumerate(shares):
        sent[number // each, number % each, : len(share)] = share
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)
    mine_MRC = received.transpose(0, 1).reshape(each, world * height, columns)[:, :rows]
    owned = max(0, min(each, len(shares) - rank * each))
    results = mine_MRC.new_zeros(each, world * height, columns)
    if owned:
        results[:owned, :rows] = act(mine_MRC[:owned])
    sent = results.view(each, world, height, columns).transpose(0, 1).contiguous()
    dist.all_to_all_single(received, sent)
    return [received[number // each, number % each, : len(share)] for number, share in enumerate(shares)]
