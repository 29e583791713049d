"""Operations and memory where an adapter alone is trained: what is frozen gets no gradient and no moments."""

import pytest
import torch
from adapter_parts import INT4, packed
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from training_parts import decoder

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach, pairs_of
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.quantization.surgery import weight_bytes
from shizuku.training import memory
from shizuku.training.batches import TensorBatch
from shizuku.training.config import LoopConfig, OptimizerConfig
from shizuku.training.cost import model_cost, token_cost
from shizuku.training.memory import estimate_memory
from shizuku.training.objectives import NextToken

ADAMW = LoopConfig(optimizer=OptimizerConfig(kind="adamw"))


@pytest.mark.parametrize("scheme", [None, INT4])
@pytest.mark.parametrize("targets", [("blocks.*",), ("blocks.*.attention.query",)])
def test_the_count_is_that_of_torch(scheme, targets) -> None:
    config = decoder(width=32, context=64, layers=3, kv_heads=1, qk_norm=False)
    made, tokens, rows = Decoder(config), 48, 3
    assert model_cost(made, tokens) == token_cost(config, tokens)
    if scheme is not None:
        packed(made, scheme)
    # torch counts no sums into a given result (addmm_), which the way without dropout takes.
    attach(made, AdapterConfig(rank=4, targets=targets, dropout=0.1))
    made.train()
    cost, first = model_cost(made, tokens), made.blocks[0].attention
    ids = torch.randint(300, (rows, tokens))
    given = TensorBatch(ids, ids, torch.ones_like(ids, dtype=torch.bool))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as both:
        NextToken().loss(made, given)["next_token"].backward()
    # Below the first block nothing is trained: no gradient goes there, nor to keys and values as they are.
    spared = 2 * sum(layer.weight.numel() for layer in (first.query, first.key, first.value))
    if targets != ("blocks.*",):
        spared += cost.attention // config.layers
    counted = rows * tokens * (cost.training - spared)
    assert counted == pytest.approx(both.get_total_flops(), rel=0.01)
    assert cost.training < token_cost(config, tokens).training


@pytest.mark.parametrize("scheme", [None, INT4])
def test_moments_and_gradients_are_those_of_the_adapter(scheme) -> None:
    made = Decoder(decoder())
    if scheme is not None:
        packed(made, scheme)
    held = weight_bytes(made)
    attach(made, AdapterConfig(rank=4))
    own = sum(pair.a_RI.numel() + pair.b_OR.numel() for pair in pairs_of(made, "default").values())
    found = estimate_memory(made, ADAMW, 2, 16)
    assert found.weights == held + 4 * own
    assert found.gradients == 4 * own and found.optimizer == 8 * own
    assert estimate_memory(made, LoopConfig(ema=0.9), 2, 16).weights == held + 8 * own


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("scheme", [None, INT4])
def test_saved_activations_are_estimated(scheme, dropout) -> None:
    config = DecoderConfig(vocab_size=64, context=128, width=64, layers=4, heads=4, ffn_width=192)
    made = Decoder(config)
    if scheme is not None:
        packed(made, scheme)
    attach(made, AdapterConfig(rank=4, dropout=dropout))
    known = {tensor.data_ptr() for tensor in (*made.parameters(), *made.buffers())}
    held: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in known:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        made.hidden(torch.randint(64, (8, 128)))
    estimate = estimate_memory(made, ADAMW, 8, 128, packed=False).activations - 3 * memory.CHUNK_BYTES
    assert sum(held.values()) <= estimate <= 1.7 * sum(held.values())
