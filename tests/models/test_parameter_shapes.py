"""Names and shapes worked out from a config alone, against the decoder itself."""

import pytest
import torch
from decoders import CONFIGS, SHAPE

from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.parameter_shapes import parameter_shapes

OTHERS = {
    "plain norms after": {"norm": "layernorm", "norm_placement": "after", "unembedding_bias": True},
    "norms on both sides": {"norm": "layernorm", "norm_bias": True, "norm_placement": "both"},
    "wide heads": {"head_width": 24, "kv_heads": 1, "qk_norm": True, "qk_norm_joint": True},
    "experts": {"experts": 3, "expert_width": 5, "sparse_layers": (False, True), "mlp_bias": True},
    "shared experts": {"experts": 2, "shared_experts": 2, "router_bias": True},
    "learned": {"positions": "learned", "embedding_norm": True, "mlp_bias": True},
}


@pytest.mark.parametrize("name", [*CONFIGS, *OTHERS])
def test_they_are_those_of_the_decoder(name: str) -> None:
    config = CONFIGS.get(name) or DecoderConfig(**(SHAPE | {"tie_embeddings": False} | OTHERS[name]))
    with torch.device("meta"):
        state = Decoder(config).state_dict()
    assert list(parameter_shapes(config).items()) == [
        (key, tuple(tensor.shape)) for key, tensor in state.items()
    ]
