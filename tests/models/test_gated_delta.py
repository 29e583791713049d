"""The gated delta network: three forms of its rule, transformers both ways, documents, pieces of a text."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import transformers
import transformers.models.qwen3_5.modeling_qwen3_5 as qwen
from peers import TOLERANCE, VOCABULARY, difference, token_ids
from peers import randomise as randomise_matrices
from recurrent_parts import check_documents, check_pieces, check_shared_beginning
from safetensors.torch import save_file
from torch import Tensor, nn

from shizuku.checkpoints.huggingface import config_from_huggingface, load_weights, read_config, to_huggingface
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.architectures import architecture, build
from shizuku.models.gated_delta import GatedDeltaConfig, GatedDeltaNet, initialise
from shizuku.models.layers.delta_rule import DeltaInput, chunked, sequential, step

CONFIG = GatedDeltaConfig(
    vocab_size=VOCABULARY, context=128, width=48, layers=3, heads=6, key_heads=2, key_width=12,
    value_width=20, ffn_width=80, norm_eps=0.01, tie_embeddings=False,
)  # fmt: skip


@torch.no_grad()
def randomise(model: nn.Module, seed: int = 0) -> None:
    """Every parameter random at a gain near one, that of the convolution, which sums few numbers, as well."""
    randomise_matrices(model, seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("conv1d.weight", "convolution.weight")):
            parameter.mul_(parameter.shape[-1] ** -0.5 / parameter.std())


def given(tokens: int, *, documents: bool, seed: int = 0) -> DeltaInput:
    """Random inputs of two rows and four heads, from ones that forget at once to ones that hardly do."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    rates_H1 = torch.tensor([0.01, 0.5, 16.0, 60.0])[:, None]
    tensors = (
        nn.functional.normalize(drawn(2, 4, tokens, 16), dim=-1),
        nn.functional.normalize(drawn(2, 4, tokens, 16), dim=-1),
        drawn(2, 4, tokens, 24),
        -rates_H1 * nn.functional.softplus(3 * drawn(2, 4, tokens)),
        drawn(2, 4, tokens).sigmoid(),
    )
    numbers_BT = (torch.rand(2, tokens, generator=generator) < 0.06).long().cumsum(1)
    return DeltaInput(*(x.requires_grad_() for x in tensors), numbers_BT if documents else None)


def with_gradients(form, inputs: DeltaInput, memory_BHKE: Tensor) -> list[Tensor]:
    """Answers, memory, and the gradients of a sum that weighs all of them."""
    answers_BHTE, after_BHKE = form(inputs, memory_BHKE)
    generator = torch.Generator().manual_seed(9)
    weighed = [(x * torch.randn(x.shape, generator=generator)).sum() for x in (answers_BHTE, after_BHKE)]
    leaves = [inputs.q_BHTK, inputs.k_BHTK, inputs.v_BHTE, inputs.fade_BHT, inputs.share_BHT, memory_BHKE]
    return [answers_BHTE, after_BHKE, *torch.autograd.grad(weighed[0] + weighed[1], leaves)]


@pytest.mark.parametrize("chunk", [16, 32, 128])
@pytest.mark.parametrize("documents", [False, True])
def test_chunks_are_token_by_token_with_gradients(documents: bool, chunk: int) -> None:
    inputs = given(100, documents=documents)
    memory_BHKE = torch.randn(2, 4, 16, 24, generator=torch.Generator().manual_seed(3)).requires_grad_()
    slow = with_gradients(sequential, inputs, memory_BHKE)
    fast = with_gradients(lambda one, state: chunked(one, state, chunk=chunk), inputs, memory_BHKE)
    for one, other in zip(fast, slow, strict=True):
        assert difference(one, other) < 1e-5


def test_one_token_on_a_state_is_a_chunk_of_one() -> None:
    inputs, memory_BHKE = given(1, documents=False), torch.randn(2, 4, 16, 24).requires_grad_()
    for one, other in zip(
        with_gradients(step, inputs, memory_BHKE), with_gradients(chunked, inputs, memory_BHKE), strict=True
    ):
        assert difference(one, other) < 1e-5


def test_the_memory_gives_back_the_last_value_of_a_key_and_only_that() -> None:
    """With b = 1 and nothing forgotten, what is written under a key replaces what stood there."""
    keys_TK, values_TE = torch.eye(4)[[0, 1, 0, 2]], torch.arange(8.0).view(4, 2)
    ones_BHT = torch.ones(1, 1, 4)
    _, memory_BHKE = chunked(
        DeltaInput(keys_TK[None, None], keys_TK[None, None], values_TE[None, None], 0 * ones_BHT, ones_BHT)
    )
    assert torch.allclose(memory_BHKE[0, 0], torch.tensor([[4.0, 5], [2, 3], [6, 7], [0, 0]]))


def peer(**changes: object) -> transformers.PreTrainedModel:
    """A tiny Qwen3.5 of transformers without attention, randomised."""
    keys, _ = to_huggingface(CONFIG, build(CONFIG).state_dict())
    made = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**keys | changes))
    randomise(made)
    return made.eval()


def ours(model: transformers.PreTrainedModel, directory: Path) -> GatedDeltaNet:
    """The same model here, by way of a Hugging Face directory."""
    model.save_pretrained(directory)
    config = read_config(directory)
    made = build(config).eval()
    made.load_state_dict(load_weights(directory, config))
    return made


@torch.no_grad()
def signals(model: nn.Module, blocks: nn.ModuleList, ids_BT: Tensor) -> list[Tensor]:
    """The residual stream after every block, and the logits."""
    kept: list[Tensor] = []
    handles = [block.register_forward_hook(lambda _, inputs, output: kept.append(output)) for block in blocks]
    output = model(ids_BT) if isinstance(model, GatedDeltaNet) else model(ids_BT, use_cache=False)
    for handle in handles:
        handle.remove()
    return [*kept, getattr(output, "logits", output)]


@pytest.fixture(params=["chunks", "tokens"])
def ids_BT(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """A text for transformers' chunked form, and a longer one for its other form: the chunked one takes
    differences of running sums in float32, whose rounding alone comes near 2e-5 after 40 tokens.
    """
    if request.param == "chunks":
        return token_ids(tokens=24)
    monkeypatch.setattr(qwen, "torch_chunk_gated_delta_rule", qwen.torch_recurrent_gated_delta_rule)
    return token_ids(tokens=75)


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": True, "linear_num_key_heads": 6}, {"hidden_act": "gelu"}],
    ids=["grouped", "tied", "gelu"],
)
def test_their_model_gives_the_same_here(ids_BT: Tensor, changes: dict, tmp_path: Path) -> None:
    theirs = peer(**changes)
    mine = ours(theirs, tmp_path)
    for one, other in zip(
        signals(mine, mine.blocks, ids_BT), signals(theirs, theirs.model.layers, ids_BT), strict=True
    ):
        assert difference(one, other) < TOLERANCE


def test_our_model_gives_the_same_there(ids_BT: Tensor, tmp_path: Path) -> None:
    model = build(CONFIG).eval()
    randomise(model, seed=5)
    keys, tensors = to_huggingface(CONFIG, model.state_dict())
    assert keys["model_type"] == "qwen3_5_text"
    transformers.AutoConfig.for_model(**keys).save_pretrained(tmp_path)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    for one, other in zip(
        signals(model, model.blocks, ids_BT), signals(theirs.eval(), theirs.model.layers, ids_BT), strict=True
    ):
        assert difference(one, other) < TOLERANCE


@torch.no_grad()
def test_long_texts_are_nearer_to_the_truth_than_theirs(tmp_path: Path) -> None:
    theirs = peer()
    model, ids_BT = ours(theirs, tmp_path), token_ids(tokens=128)
    logits_BTV = model(ids_BT)
    theirs_BTV = signals(theirs, theirs.model.layers, ids_BT)[-1]
    true_BTV = model.double()(ids_BT)
    assert difference(logits_BTV, true_BTV) < 0.5 * difference(theirs_BTV, true_BTV)
    assert difference(logits_BTV, true_BTV) < TOLERANCE


FLIPS = [
    {"key_heads": 6}, {"taps": 3}, {"activation": "gelu"}, {"norm_eps": 1e-3}, {"tie_embeddings": True},
]  # fmt: skip


def test_every_field_that_is_no_size_is_flipped() -> None:
    sizes = {"vocab_size", "context", "width", "layers", "heads", "key_width", "value_width", "ffn_width"}
    assert {field.name for field in fields(GatedDeltaConfig)} - sizes == {
        name for flip in FLIPS for name in flip
    }


@torch.no_grad()
@pytest.mark.parametrize("flip", FLIPS, ids=lambda flip: next(iter(flip)))
def test_a_mechanism_that_is_dropped_is_seen(flip: dict, tmp_path: Path) -> None:
    theirs = peer()
    right = ours(theirs, tmp_path)
    wrong = build(replace(right.config, **flip)).eval()
    weights = dict(right.state_dict())
    for name, parameter in wrong.state_dict().items():
        if weights[name].shape != parameter.shape:
            weights[name] = weights[name][..., -3:] if name.endswith("convolution.weight") else parameter
    if "key_heads" in flip:  # each value head with the keys of another than it reads with
        for block in right.blocks:
            for matrix in (block.mixer.query.weight, block.mixer.key.weight):
                matrix.copy_(matrix.view(2, 12, -1).flip(0).flatten(0, 1).clone())
        wrong = right
    else:
        wrong.load_state_dict({name: weights[name] for name in wrong.state_dict()})
    ids_BT = token_ids()
    assert difference(wrong(ids_BT), signals(theirs, theirs.model.layers, ids_BT)[-1]) > 20 * TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize(
    "part",
    ["mixer.time_bias", "mixer.log_rate", "mixer.norm.weight", "mixer.gate.weight", "mixer.share.weight",
     "mixer.time.weight", "mixer.convolution.weight", "mixer_norm.weight", "feedforward_norm.weight"],
)  # fmt: skip
def test_every_part_of_the_layer_matters(part: str) -> None:
    model = build(CONFIG).eval()
    randomise(model)
    ids_BT = token_ids()
    before_BTV = model(ids_BT)
    model.get_parameter(f"blocks.1.{part}").mul_(1.05)
    assert difference(model(ids_BT), before_BTV) > 20 * TOLERANCE


def test_documents_of_a_row_do_not_see_each_other() -> None:
    model = build(CONFIG)
    randomise(model)
    check_documents(model, VOCABULARY)
    check_shared_beginning(model, VOCABULARY)


def test_pieces_of_a_text_are_the_text() -> None:
    model = build(CONFIG)
    randomise(model)
    check_pieces(model, VOCABULARY)


def test_blocks_with_attention_are_refused() -> None:
    keys, _ = to_huggingface(CONFIG, build(CONFIG).state_dict())
    assert config_from_huggingface(keys) == CONFIG
    for changes in (
        {"layer_types": None},
        {"layer_types": ["linear_attention", "linear_attention", "full_attention"]},
        {"layer_types": None, "full_attention_interval": 2},
    ):
        kept = {key: value for key, value in (keys | changes).items() if value is not None}
        if changes == {"layer_types": None}:
            kept["num_hidden_layers"] = 4
        with pytest.raises(
            CheckpointError, match=r"layer_types is .*full_attention.*all . layers have to be"
        ):
            config_from_huggingface(kept)
    with pytest.raises(CheckpointError, match="'vision_config'"):
        config_from_huggingface(keys | {"vision_config": {}})


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="heads 6 is no multiple of key_heads 4"):
        replace(CONFIG, key_heads=4)
    with pytest.raises(ConfigError, match=r"--model\.taps: expected at least 1, found 0"):
        replace(CONFIG, taps=0)
    with pytest.raises(ConfigError, match="activation 'tanh' is not known"):
        replace(CONFIG, activation="tanh")


def test_heads_begin_between_slow_and_fast() -> None:
    model = build(CONFIG)
    initialise(model, 0)
    mixer = model.blocks[0].mixer
    steps_H = nn.functional.softplus(mixer.time_bias)
    assert steps_H.min() >= 0.001 and steps_H.max() <= 0.1
    assert mixer.log_rate.min() >= 0 and mixer.log_rate.exp().max() <= 16
    assert mixer.norm.weight.eq(1).all() and model.blocks[0].mixer_norm.weight.eq(0).all()


def test_every_preset_makes_a_model() -> None:
    for preset in architecture("recurrent").presets.values():
        assert GatedDeltaConfig(vocab_size=8, **preset).layers
