"""LSTM sequence to sequence: equal to torch's LSTM, and to itself step by step, whatever stands beside it."""

from typing import Any

import pytest
import torch
from peers import TOLERANCE, difference, randomise
from torch import Tensor, nn

from shizuku.errors import ConfigError, ModelError
from shizuku.models.layers.lstm_cell import LSTMLayer
from shizuku.models.lstm_seq2seq import LSTMSeq2Seq, LSTMSeq2SeqConfig, initialise, turned
from shizuku.models.translating import Sources

SHAPE: dict[str, Any] = {
    "vocab_size": 61, "context": 24, "width": 32, "embedding_width": 24, "attention_width": 20, "layers": 2,
}  # fmt: skip
VARIANTS: list[dict[str, Any]] = [
    {},
    {"attention": "none", "bidirectional": False, "reversed_source": True},
    {"reversed_source": True, "share_embeddings": False, "tie_embeddings": False, "layers": 1},
]


def made(**changes: Any) -> LSTMSeq2Seq:
    model = LSTMSeq2Seq(LSTMSeq2SeqConfig(**SHAPE | changes)).eval()
    randomise(model, seed=3)
    return model


def pair() -> tuple[Tensor, Sources]:
    generator = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(61, (3, 9), generator=generator)
    source_BS = torch.randint(61, (3, 11), generator=generator)
    return ids_BT, Sources(source_BS, torch.tensor([11, 4, 8]))


def test_a_layer_equals_torchs_with_its_gradients() -> None:
    ours, theirs = LSTMLayer(5, 7).double(), nn.LSTM(5, 7, batch_first=True).double()
    randomise(ours, seed=2)
    # torch's gates are input, forget, candidate, output; here the three that open stand together.
    order = torch.cat([torch.arange(0, 14), torch.arange(21, 28), torch.arange(14, 21)])
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.input_gates.weight[order])
        theirs.weight_hh_l0.copy_(ours.recurrent_gates.weight[order])
        theirs.bias_ih_l0.copy_(ours.input_gates.bias[order])
        theirs.bias_hh_l0.zero_()
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([6, 4, 2])
    inputs = [torch.randn(3, 6, 5, dtype=torch.float64, generator=generator).requires_grad_() for _ in "ab"]
    inputs[1].data.copy_(inputs[0].data)
    real_BT = torch.arange(6) < lengths[:, None]
    found, (h, c) = ours(inputs[0], ours.empty(inputs[0]), real_BT)
    packed = nn.utils.rnn.pack_padded_sequence(inputs[1], lengths, batch_first=True)
    expected, (their_h, their_c) = theirs(packed)
    expected, _ = nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)
    assert torch.allclose(found[real_BT], expected[real_BT], atol=1e-12)
    assert torch.allclose(h, their_h[0], atol=1e-12) and torch.allclose(c, their_c[0], atol=1e-12)
    for outputs, cell in ((found[real_BT], c), (expected[real_BT], their_c)):
        (outputs.square().sum() + cell.sum()).backward()
    assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-12)
    assert torch.allclose(ours.recurrent_gates.weight.grad[order], theirs.weight_hh_l0.grad, atol=1e-12)
    assert torch.allclose(ours.input_gates.bias.grad[order], theirs.bias_ih_l0.grad, atol=1e-12)


@pytest.mark.parametrize("changes", VARIANTS)
def test_step_by_step_and_alone_it_says_the_same(changes: dict[str, Any]) -> None:
    model = made(**changes)
    ids_BT, sources = pair()
    with torch.no_grad():
        whole = model(ids_BT, sources=sources)
        state = model.start(sources)
        steps = torch.stack([model.step(ids_BT[:, at], state) for at in range(9)], 1)
        assert difference(steps, whole) < TOLERANCE
        for row, length in enumerate(sources.lengths_B.tolist()):
            alone = Sources(sources.ids_BS[row : row + 1, :length], sources.lengths_B[row : row + 1])
            assert difference(model(ids_BT[row : row + 1], sources=alone), whole[row : row + 1]) < TOLERANCE
        state.select_rows(torch.tensor([2, 2, 0]))
        last = ids_BT[[2, 2, 0], -1]
        again = torch.cat([ids_BT[[2, 2, 0]], last[:, None]], 1)
        other = Sources(sources.ids_BS[[2, 2, 0]], sources.lengths_B[[2, 2, 0]])
        assert difference(model.step(last, state), model(again, sources=other)[:, -1]) < TOLERANCE


def test_patterns_are_shares_of_the_real_source_in_its_own_order() -> None:
    ids_BT, sources = pair()
    for reverse in (False, True):
        model = made(reversed_source=reverse)
        pattern_B1TS = model.pattern(ids_BT, sources=sources)
        assert pattern_B1TS.shape == (3, 1, 9, 11) and not pattern_B1TS[1, :, :, 4:].any()
        assert torch.allclose(pattern_B1TS.sum(-1), torch.ones(3, 1, 9), atol=1e-5)
    # Read from its end, a source turned round is the same source, and what is seen of it turns round.
    other = Sources(turned(sources.ids_BS, sources), sources.lengths_B)
    straight = made(reversed_source=False)
    straight.load_state_dict(model.state_dict())
    back = turned(straight.pattern(ids_BT, sources=other)[:, 0].transpose(1, 2), sources).transpose(1, 2)
    assert torch.allclose(back, pattern_B1TS[:, 0], atol=1e-6)
    with pytest.raises(ModelError, match="no attention"):
        made(attention="none").pattern(ids_BT, sources=sources)


@pytest.mark.parametrize(
    "changes", [{"attention": "none"}, {"bidirectional": False}, {"reversed_source": True}, {"layers": 1}]
)
def test_each_mechanism_matters(changes: dict[str, Any]) -> None:
    ids_BT, sources = pair()
    before, after = made(), made(**changes)
    shapes = {name: tensor.shape for name, tensor in after.state_dict().items()}
    fitting = {
        name: tensor for name, tensor in before.state_dict().items() if shapes.get(name) == tensor.shape
    }
    after.load_state_dict(fitting, strict=False)
    with torch.no_grad():
        expected = before(ids_BT, sources=sources)
        assert difference(after(ids_BT, sources=sources), expected) > 1000 * TOLERANCE


def test_cells_remember_at_first_and_sizes_are_checked() -> None:
    model = made()
    initialise(model, 0)
    gates = model.writer[0].input_gates.bias
    assert torch.equal(gates, torch.cat([torch.zeros(32), torch.ones(32), torch.zeros(64)]))
    with pytest.raises(ConfigError, match="width 31 is odd"):
        LSTMSeq2SeqConfig(**SHAPE | {"width": 31})
    ids_BT, sources = pair()
    with pytest.raises(ModelError, match="window of 24"):
        model(ids_BT.repeat(1, 3), sources=sources)
