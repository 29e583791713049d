"""BERT: an encoder normed after every layer, with a pooler, a mask head and a head for pairs, or some of
them.

Which heads there are follows from the class that `architectures` names.
"""

from collections.abc import Mapping
from typing import Any

from shizuku.checkpoints.families import Family
from shizuku.checkpoints.translations import Translation, activation, renamed
from shizuku.checkpoints.weights import Weight, weight
from shizuku.errors import CheckpointError

_HEADS: dict[str, dict[str, bool]] = {
    "BertModel": {"pooler": True, "mask_head": False, "pair_head": False},
    "BertForMaskedLM": {"pooler": False, "mask_head": True, "pair_head": False},
    "BertForPreTraining": {"pooler": True, "mask_head": True, "pair_head": True},
    "BertForNextSentencePrediction": {"pooler": True, "mask_head": False, "pair_head": True},
}


def _read_heads(foreign: Mapping[str, Any]) -> dict[str, Any]:
    name = (foreign.get("architectures") or ["BertModel"])[0]
    if name not in _HEADS:
        raise CheckpointError(
            f"architectures is {name!r}: of BERT's heads known here are {', '.join(_HEADS)}"
        )
    return dict(_HEADS[name])


def _write_heads(config: Any) -> dict[str, Any]:
    heads = {name: getattr(config, name) for name in ("pooler", "mask_head", "pair_head")}
    named = [name for name, values in _HEADS.items() if values == heads]
    # What no class has (such as an output matrix of its own) is found out when this is read again.
    return {"architectures": named or ["BertModel"]}


_HEADS_OF = Translation(keys=("architectures",), read=_read_heads, write=_write_heads)

FAMILY = Family(
    model_type="bert",
    architecture="BertForPreTraining",
    ours="encoder",
    headed="BertForSequenceClassification",
    head="classifier",
    fixed={},
    translations=(
        *renamed(vocab_size="vocab_size", context="max_position_embeddings", width="hidden_size"),
        *renamed(layers="num_hidden_layers", heads="num_attention_heads", ffn_width="intermediate_size"),
        *renamed(norm_eps="layer_norm_eps", token_types="type_vocab_size"),
        activation("hidden_act"),
        _HEADS_OF,
    ),
    defaults={
        "vocab_size": 30_522,
        "max_position_embeddings": 512,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "tie_word_embeddings": True,
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    },
    neutral=frozenset(
        {
            "attention_probs_dropout_prob",
            "hidden_dropout_prob",
            "gradient_checkpointing",
            "directionality",
            "pooler_fc_size",
            "pooler_num_attention_heads",
            "pooler_num_fc_layers",
            "pooler_size_per_head",
            "pooler_type",
        }
    ),
    prefix="bert.",
    output="cls.predictions.decoder",
    unprefixed=("cls.",),
    weights=(
        Weight(theirs="embeddings.word_embeddings.weight", ours=("embedding.weight",)),
        Weight(theirs="embeddings.position_embeddings.weight", ours=("position_embedding.weight",)),
        Weight(theirs="embeddings.token_type_embeddings.weight", ours=("type_embedding.weight",)),
        *weight("embeddings.LayerNorm", "embedding_norm"),
        *weight("encoder.layer.{n}.attention.self.query", "blocks.{n}.attention.query"),
        *weight("encoder.layer.{n}.attention.self.key", "blocks.{n}.attention.key"),
        *weight("encoder.layer.{n}.attention.self.value", "blocks.{n}.attention.value"),
        *weight("encoder.layer.{n}.attention.output.dense", "blocks.{n}.attention.output"),
        *weight("encoder.layer.{n}.attention.output.LayerNorm", "blocks.{n}.attention_norm"),
        *weight("encoder.layer.{n}.intermediate.dense", "blocks.{n}.feedforward.up"),
        *weight("encoder.layer.{n}.output.dense", "blocks.{n}.feedforward.down"),
        *weight("encoder.layer.{n}.output.LayerNorm", "blocks.{n}.feedforward_norm"),
        *weight("pooler.dense", "pooler"),
        *weight("cls.predictions.transform.dense", "mask_head.dense"),
        *weight("cls.predictions.transform.LayerNorm", "mask_head.norm"),
        Weight(theirs="cls.predictions.bias", ours=("mask_head.output_bias",)),
        Weight(theirs="cls.predictions.decoder.weight", ours=("unembedding.weight",)),
        *weight("cls.seq_relationship", "pair_head"),
    ),
    # A head that the class doesn't have may stand in the file (bert-base-uncased has BERT's whole training).
    ignored=r"embeddings\.position_ids|pooler\..*|cls\.(predictions\.(bias|decoder\.bias|transform\..*)|seq_.*)",
)
