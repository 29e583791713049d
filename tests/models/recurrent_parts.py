"""What the tests of recurrent models share: random weights, documents apart and packed, pieces and wholes."""

from typing import Any

import torch
from torch import Tensor

from shizuku.models.architectures import build

LENGTHS = [[5, 1, 9, 4], [12, 7], [1, 1, 17]]
"""Documents of three rows of 19 tokens."""


def random_model(config: Any, *, seed: int = 0, gain: float = 1.0) -> Any:
    """A model whose every parameter is random, matrices with outputs as large as their inputs."""
    model, generator = build(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = gain * parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.5
            parameter.copy_(noise * scale)
    return model


def close(one: Tensor, other: Tensor, share: float = 2e-5) -> bool:
    """Whether they differ by at most this share of the deviation of the second."""
    one, other = one.detach(), other.detach()
    return float((one - other).abs().max()) <= share * float(other.std())


def check_documents(model: Any, vocab_size: int) -> None:
    """Documents in packed rows have the values and gradients that they have alone."""
    ids_BT = torch.randint(vocab_size, (3, 19), generator=torch.Generator().manual_seed(1))
    segments_BT = torch.tensor([[n for n, size in enumerate(row) for _ in range(size)] for row in LENGTHS])
    packed_BTV = model(ids_BT, segments_BT=segments_BT)
    alone = [
        torch.cat([model(part[None])[0] for part in ids_T.split(sizes)])
        for ids_T, sizes in zip(ids_BT, LENGTHS, strict=True)
    ]
    alone_BTV = torch.stack(alone)
    assert close(packed_BTV, alone_BTV)
    weight_BTV = torch.randn(alone_BTV.shape, generator=torch.Generator().manual_seed(2))
    parameters = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad((packed_BTV * weight_BTV).sum(), parameters),
        torch.autograd.grad((alone_BTV * weight_BTV).sum(), parameters),
        strict=True,
    ):
        assert close(one, other, 1e-4)


@torch.no_grad()
def check_pieces(model: Any, vocab_size: int, *, cuts: tuple[int, ...] = (7, 1, 1, 13, 1)) -> None:
    """Read in pieces with a state, a text has the logits that it has in one."""
    ids_BT = torch.randint(vocab_size, (2, sum(cuts)), generator=torch.Generator().manual_seed(3))
    state = model.new_state(2)
    pieces = [model(piece, state=state) for piece in ids_BT.split(list(cuts), dim=1)]
    assert close(torch.cat(pieces, dim=1), model(ids_BT))
    assert state.length == sum(cuts)


@torch.no_grad()
def check_shared_beginning(model: Any, vocab_size: int) -> None:
    """What several documents of a row begin with may stand there once."""
    ids_BT = torch.randint(vocab_size, (2, 17), generator=torch.Generator().manual_seed(5))
    segments_BT = torch.tensor(
        [[-2] * 4 + [0] * 6 + [1] * 3 + [2] * 4, [-2] * 4 + [0] * 2 + [1] * 8 + [-1] * 3]
    )
    found_BTV = model(ids_BT, segments_BT=segments_BT)
    for ids_T, found_TV, segments_T in zip(ids_BT, found_BTV, segments_BT, strict=True):
        assert close(found_TV[:4], model(ids_T[None, :4])[0])
        for number in range(int(segments_T.max()) + 1):
            own = segments_T == number
            whole = torch.cat([ids_T[:4], ids_T[own]])
            assert close(found_TV[own], model(whole[None])[0, 4:])
