"""Hooks with stable names on the one real model.

Names (N is a layer): `embedding`, `blocks.N.attention.query` [B, H, T, K] (after norm and rotation),
`blocks.N.attention.key` and `.value` [B, G, T, K], `blocks.N.attention.pattern` [B, H, T, S],
`blocks.N.attention.heads` [B, H, T, K] (what each head read, before the output projection),
`blocks.N.attention` and `blocks.N.feedforward` [B, T, D] (what they add to the residual stream),
`blocks.N.residual` [B, T, D] (the stream after the block), `final_norm` [B, T, D], `logits` [B, T, V].
A model with other points has a tuple of their names, `hook_points`; attention patterns end in `.pattern`.

A layer whose pattern is asked for computes it openly in float32 (the eager path) instead of in the fused
kernel, which never holds it; the results differ by rounding only.

Hooks act in the thread that set them: another thread runs the same model without them meanwhile, and waits
with hooks of its own until these are gone.
"""

import fnmatch
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from torch import Tensor

from shizuku.errors import ModelError

Hook = Callable[[Tensor, str], Tensor | None]
"""Takes a tensor and its name; returns a tensor to go on with instead, or None to leave it."""


class HookTable:
    """The hooks of one model, looked up by name below a prefix."""

    def __init__(self, hooks: Mapping[str, Hook], prefix: str = "", thread: int | None = None) -> None:
        self._hooks = hooks
        self._prefix = prefix
        self._thread = threading.get_ident() if thread is None else thread

    @property
    def acts_here(self) -> bool:
        """Whether this thread is the one that set them."""
        return self._thread == threading.get_ident()

    def under(self, prefix: str) -> "HookTable":
        """Return the same hooks, for names below `prefix`."""
        return HookTable(self._hooks, self._prefix + prefix, self._thread)

    def wants(self, name: str) -> bool:
        """Whether somebody asked for this name."""
        return self._prefix + name in self._hooks and self.acts_here

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        """Return what the hook of this name makes of the tensor, the tensor itself where there is none."""
        hook = self._hooks.get(self._prefix + name)
        replaced = None if hook is None or not self.acts_here else hook(tensor, self._prefix + name)
        return tensor if replaced is None else replaced


@runtime_checkable
class Hookable(Protocol):
    """A model with a slot for hooks and a number of layers."""

    hooks: HookTable | None

    @property
    def blocks(self) -> Iterable[object]:
        """The layers, in order."""
        ...


_IN_BLOCK = (
    "attention.query", "attention.key", "attention.value", "attention.pattern", "attention.heads",
    "attention", "feedforward", "residual",
)  # fmt: skip
_FREED = threading.Condition()


def hook_names(model: Hookable) -> list[str]:
    """Return every name that can be hooked on this model, in the order of the computation."""
    own: Iterable[str] | None = getattr(model, "hook_points", None)
    if own is not None:
        return list(own)
    blocks = [f"blocks.{layer}.{name}" for layer, _ in enumerate(model.blocks) for name in _IN_BLOCK]
    return ["embedding", *blocks, "final_norm", "logits"]


@contextmanager
def hooked(model: Hookable, hooks: Mapping[str, Hook]) -> Iterator[None]:
    """Run the model with these hooks inside the `with`; they are gone after it, whatever happens.

    A name that the model doesn't have raises ModelError, as does a model that this thread has hooked already.
    """
    unknown = sorted(set(hooks) - set(hook_names(model)))
    if unknown:
        raise ModelError(f"no hook point is called {', '.join(unknown)}; see shizuku.models.hooks.hook_names")
    with _FREED:
        while model.hooks is not None:
            if model.hooks.acts_here:
                raise ModelError("this model has hooks already: put all of them into one `hooked`")
            _FREED.wait()
        model.hooks = HookTable(hooks)
    try:
        yield
    finally:
        with _FREED:
            model.hooks = None
            _FREED.notify_all()


@contextmanager
def recorded(model: Hookable, *patterns: str) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that fills with a detached copy of every tensor whose name matches a shell pattern.

    `recorded(model, "blocks.*.residual")` keeps the stream after each block. A pattern that matches nothing
    raises ModelError. A second call inside the `with` overwrites the first.
    """
    names = hook_names(model)
    kept: dict[str, Tensor] = {}

    def keep(tensor: Tensor, name: str) -> None:
        kept[name] = tensor.detach().clone()

    chosen: dict[str, Hook] = {}
    for pattern in patterns:
        matching = fnmatch.filter(names, pattern)
        if not matching:
            raise ModelError(f"no hook point matches {pattern!r}; see shizuku.models.hooks.hook_names")
        chosen.update(dict.fromkeys(matching, keep))
    with hooked(model, chosen):
        yield kept
