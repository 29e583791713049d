"""The LSTM language model: torch's own module, documents apart, pieces of a text."""

import torch
from recurrent_parts import check_documents, check_pieces, check_shared_beginning, close, random_model

from shizuku.models.architectures import build
from shizuku.models.lstm import LSTMConfig, initialise

CONFIG = LSTMConfig(vocab_size=50, width=24, layers=2)


def test_it_is_torchs_lstm_between_embedding_and_output() -> None:
    ours = random_model(CONFIG)
    theirs = torch.nn.LSTM(24, 24, 2, batch_first=True)
    with torch.no_grad():
        for layer, block in enumerate(ours.blocks):
            getattr(theirs, f"weight_ih_l{layer}").copy_(block.input_gates)
            getattr(theirs, f"weight_hh_l{layer}").copy_(block.recurrent_gates)
            getattr(theirs, f"bias_ih_l{layer}").copy_(block.bias / 3)
            getattr(theirs, f"bias_hh_l{layer}").copy_(2 * block.bias / 3)
    ids_BT = torch.randint(50, (3, 17))
    weight_VD = ours.embedding.weight
    assert close(ours(ids_BT), theirs(weight_VD[ids_BT])[0] @ weight_VD.T)


def test_documents_of_a_row_do_not_see_each_other() -> None:
    check_documents(random_model(CONFIG), 50)
    check_shared_beginning(random_model(CONFIG), 50)


def test_pieces_of_a_text_are_the_text() -> None:
    check_pieces(random_model(CONFIG), 50)


def test_forget_gates_begin_open() -> None:
    model = build(CONFIG)
    initialise(model, 0)
    bias_4D = model.blocks[1].bias
    assert bias_4D[24:48].eq(1).all() and bias_4D.sum() == 24
