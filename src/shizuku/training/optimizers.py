"""Which parameter is moved by what: Muon for the blocks' matrices, AdamW for the rest, decay where it
belongs.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from shizuku.errors import TrainingError
from shizuku.models.layers.experts import sparse_layers
from shizuku.training.adamw import AdamW
from shizuku.training.config import OptimizerConfig
from shizuku.training.muon import Muon

FUSED = {"query_key_value": 3, "gates": 4}
"""How many matrices stand in one, by what is in its name: query, key and value, or the gates of an LSTM. They
are split before they are orthogonalised.
"""


class Optimizers:
    """The optimizers of one model, moved together, with their state by parameter name."""

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.names: dict[Tensor, str] = {
            parameter: name for name, parameter in model.named_parameters() if parameter.requires_grad
        }
        if not self.names:
            raise TrainingError("the model has no parameter that may be trained: unfreeze some")
        self._all: list[Muon | AdamW] = []
        groups = parameter_groups(model)
        matrices, embeddings = groups["matrices"], groups["embeddings"]
        tables_rate = config.embedding_learning_rate
        adamw = [
            {
                "params": embeddings,
                "lr": config.learning_rate if tables_rate is None else tables_rate,
                "weight_decay": config.weight_decay if config.decay_embeddings else 0.0,
            },
            {"params": groups["vectors"], "lr": config.learning_rate, "weight_decay": 0.0},
        ]
        if config.kind == "adamw":
            decayed = {"params": matrices, "lr": config.learning_rate, "weight_decay": config.weight_decay}
            adamw.append(decayed)
        elif matrices:
            self._all.append(self._muon(matrices, config))
        adamw = [group for group in adamw if group["params"]]
        if adamw:
            self._all.append(AdamW(adamw, betas=config.betas, eps=config.eps))
        self._peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._all]

    def _muon(self, matrices: list[nn.Parameter], config: OptimizerConfig) -> Muon:
        by_parts: dict[int, list[nn.Parameter]] = {}
        for matrix in matrices:
            parts = next((count for inside, count in FUSED.items() if inside in self.names[matrix]), 1)
            by_parts.setdefault(parts, []).append(matrix)
        return Muon(
            [{"params": by_parts[parts], "parts": parts} for parts in sorted(by_parts)],
            lr=config.muon_learning_rate,
            momentum=config.muon_momentum,
            weight_decay=config.weight_decay,
            iterations=config.muon_iterations,
        )

    def set_rates(self, factor: float) -> None:
        """Set every learning rate to `factor` of its peak."""
        for optimizer, peaks in zip(self._all, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

    def step(self) -> None:
        """Move the parameters along their gradients."""
        for optimizer in self._all:
            optimizer.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.names:
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The whole state, as `<parameter>/<what>`."""
        return {
            f"{self.names[parameter]}/{what}": value
            for optimizer in self._all
            for parameter, state in optimizer.state.items()
            for what, value in state.items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave; TrainingError when it belongs to another model or optimizer."""
        by_parameter: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, what = key.rpartition("/")
            by_parameter.setdefault(name, {})[what] = value
        unknown = by_parameter.keys() - set(self.names.values())
        if unknown:
            raise TrainingError(
                f"the saved optimizer state has {min(unknown)}, the model has not: resume with the model and "
                "--loop.optimizer.kind of the first run"
            )
        for optimizer in self._all:
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                saved = by_parameter.get(self.names[parameter])
                if saved is not None:
                    optimizer.state[parameter] = {
                        what: value.to(parameter.device).clone() for what, value in saved.items()
                    }


def parameter_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters as `matrices` (of hidden layers), `embeddings` (and the output matrix),
    `vectors`, to which belong what the model names as `elementwise`, and routers, whose every row is one
    expert's.
    """
    elementwise: Any = getattr(model, "elementwise", frozenset())
    tables: set[Any] = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    tables.add(getattr(model, "unembedding_weight_VD", None))
    routers: set[Any] = {layer.router.weight for layer in sparse_layers(model)}
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "embeddings": [], "vectors": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.dim() == 2 and parameter not in routers
            matrix &= name.rpartition(".")[2] not in elementwise
            kind = "embeddings" if parameter in tables else "matrices" if matrix else "vectors"
            groups[kind].append(parameter)
    return groups
