"""What a translation model costs to train, against torch's own count and what it keeps for the gradient."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from shizuku.models.architectures import architecture
from shizuku.training.config import LoopConfig
from shizuku.training.cost import token_cost
from shizuku.training.memory import estimate_memory
from shizuku.training.objectives import TargetToken
from shizuku.training.pair_batches import Ends, pair_batch

SHAPES: list[tuple[str, dict[str, Any]]] = [
    (
        "encoder-decoder",
        {"width": 96, "encoder_layers": 2, "decoder_layers": 3, "heads": 4, "ffn_width": 200},
    ),
    ("lstm-seq2seq", {"width": 96, "embedding_width": 64, "attention_width": 48, "layers": 2}),
    ("lstm-seq2seq", {"width": 96, "embedding_width": 64, "layers": 1, "attention": "none"}),
    ("lstm-seq2seq", {"width": 96, "embedding_width": 64, "layers": 1, "bidirectional": False}),
]


@pytest.mark.parametrize("name, shape", SHAPES)
def test_operations_are_those_that_torch_counts_and_memory_is_near(name: str, shape: dict[str, Any]) -> None:
    found = architecture(name)
    config = found.config(vocab_size=300, context=64, **shape)
    model = found.model(config)
    found.initialise(model, 0)
    rows = torch.randint(300, (2, 16, 19), generator=torch.Generator().manual_seed(0)).numpy()
    batch = pair_batch(list(rows[0]), list(rows[1]), Ends(0, 0))
    # torch's count leaves out the fused attention of processors.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(batch.ids_BT, sources=batch.sources)
    counted = counter.get_total_flops() / (16 * 40)
    assert token_cost(config, 40).forward == pytest.approx(counted, rel=0.01)

    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.hidden(batch.ids_BT, sources=batch.sources)
    seen = sum(size for place, size in kept.items() if place not in own)
    estimate = estimate_memory(model, LoopConfig(), *batch.shape).activations - 3 * (16 << 20)
    assert 0.6 * seen < estimate < 1.8 * seen
    assert TargetToken().counts(batch) == {"next_token": 16 * 20}
