"""Tables with one row for each id or place."""

import torch
from torch import nn


def embedding_table(rows: int, width: int) -> nn.Embedding:
    """An embedding with weights that are only fit to be replaced.

    nn.Embedding's own normal numbers, drawn for a model without memory (device meta), import the compiler.
    """
    return nn.Embedding(rows, width, _weight=nn.init.uniform_(torch.empty(rows, width), -1.0, 1.0))
