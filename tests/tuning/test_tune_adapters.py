"""`shizuku tune --lora.rank`: an adapter alone is trained, on floats or on packed weights."""

import json

import pytest
import torch
from safetensors.torch import load_file

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.adapters import load_adapted
from shizuku.checkpoints.directory import load_checkpoint, load_model, load_run, save_checkpoint
from shizuku.checkpoints.gguf import write_gguf
from shizuku.checkpoints.gguf_packed import load_gguf_packed
from shizuku.cli import main
from shizuku.errors import ConfigError
from shizuku.quantization.surgery import quantized_layers
from shizuku.training.config import LoopConfig, OptimizerConfig
from shizuku.training.loop import _Training
from shizuku.tuning.base import open_base
from shizuku.tuning.config import TuneConfig, tuning_loop
from shizuku.tuning.tune import plan, tune
from tiny_language_model import tiny_model, tokenizer

NAMES = ("Aki", "Ben", "Chie", "Dora", "Emi", "Finn", "Goro", "Hana", "Ines", "Jun", "Kai", "Lena")
RECORDS = [
    {"messages": [{"role": "user", "content": f"{a}, {b}?"}, {"role": "assistant", "content": f"{b}."}]}
    for a in NAMES
    for b in NAMES[:4]
]
LORA = AdapterConfig(rank=4, dropout=0.2)
IDS = torch.arange(1, 20)[None]


@pytest.fixture
def base(tmp_path):
    return save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())


@pytest.fixture
def chats(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, RECORDS)), encoding="utf-8")
    return path


def config_of(base, chats, out, *, lora=LORA, kind="float", **changes) -> TuneConfig:
    plain = tuning_loop()
    values = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    optimizer = OptimizerConfig(kind="adamw", learning_rate=0.02, embedding_learning_rate=None)
    loop = LoopConfig(**{**values, "steps": 8, "evaluate_every": 2, "optimizer": optimizer, **changes})
    return TuneConfig(
        model=str(base), data=(chats,), out=out, samples=0, report=False, lora=lora, base=kind, loop=loop
    )


@torch.no_grad()
def logits(model):
    return model.eval()(IDS)


def test_the_verb_trains_the_adapter_alone_and_the_directory_opens(base, chats, tmp_path, capsys) -> None:
    out = tmp_path / "tuned"
    before = (base / "model.safetensors").read_bytes()
    command = ["tune", str(base), "--data", str(chats), "--out", str(out), "--steps", "60", "--json"]
    command += ["--samples", "2", "--sample-tokens", "8", "--lora.rank", "8"]
    command += ["--loop.optimizer.learning-rate", "0.02"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    result = json.loads(capsys.readouterr().out)
    assert 0 < result["trained_parameters"] < result["parameters"] / 2
    assert (base / "model.safetensors").read_bytes() == before
    assert not (out / "model.safetensors").exists() and (out / "report.html").exists()
    moments = load_file(out / "state" / "optimizer.safetensors")
    assert all("adapter:default" in name for name in moments)
    numbers = sum(tensor.numel() for tensor in load_file(out / "adapter_model.safetensors").values())
    assert numbers == result["trained_parameters"]
    lm = shizuku.load(out)
    answer = lm.respond([{"role": "user", "content": "Aki, Ben?"}], max_new_tokens=8)
    assert answer.content == "Ben." and answer.finish == "stop"


def test_the_adapter_kept_is_the_best_and_the_model_in_hand_is_that(base, chats, tmp_path) -> None:
    result = tune(config_of(base, chats, tmp_path / "tuned", steps=30, optimizer=_rate(0.3), patience=2))
    assert result.training.kept_step < 30
    kept = load_adapted(tmp_path / "tuned", merged=False).model
    torch.testing.assert_close(logits(kept), logits(result.model), atol=0, rtol=0)


def _rate(rate: float) -> OptimizerConfig:
    return OptimizerConfig(kind="adamw", learning_rate=rate, embedding_learning_rate=None)


@pytest.mark.parametrize("kind", ["float", "int4"])
def test_a_resumed_run_ends_with_the_same_numbers_also_with_dropout(kind, base, chats, tmp_path) -> None:
    tune(config_of(base, chats, tmp_path / "whole", kind=kind, steps=9))
    parts, step = tmp_path / "parts", _Training.step
    with pytest.MonkeyPatch.context() as patch:

        def killed(self):  # saved after step 4, lost after step 5
            if self.progress.step == 5:
                raise KeyboardInterrupt
            return step(self)

        patch.setattr(_Training, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            tune(config_of(base, chats, parts, kind=kind, steps=9, save_every=4))
    tune(config_of(base, chats, parts, kind=kind, steps=9, save_every=4, resume=True))
    one, other = (load_file(place / "adapter_model.safetensors") for place in (tmp_path / "whole", parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(ConfigError, match="adapter"):
        tune(config_of(base, chats, parts, lora=AdapterConfig(rank=2), kind=kind, steps=9, resume=True))


def test_a_run_is_not_resumed_on_another_base(base, chats, tmp_path) -> None:
    tune(config_of(base, chats, tmp_path / "tuned", steps=2))
    changed = tiny_model(tokenizer().vocab_size, seed=9)
    save_checkpoint(base, model=changed, tokenizer=tokenizer())
    with pytest.raises(ConfigError, match="began with"):
        tune(config_of(base, chats, tmp_path / "tuned", steps=2, resume=True))


@pytest.mark.parametrize("kind", ["int4", "codebook4"])
def test_a_rounded_base_is_kept_and_the_adapter_is_for_it(kind, base, chats, tmp_path) -> None:
    out = tmp_path / "tuned"
    result = tune(config_of(base, chats, out, kind=kind))
    four = load_checkpoint(out / "base").model
    packed = quantized_layers(four)
    assert len(packed) == 7 * four.config.layers and all(name.startswith("blocks.") for name in packed)
    assert load_run(out)["base"]["path"] == "base" and load_run(out)["parent"]["name"] == str(base)
    foreign = json.loads((out / "adapter_config.json").read_text())
    assert foreign["base_model_name_or_path"] == str(base.resolve())
    with_it = logits(result.model)
    assert (logits(load_model(out)) - with_it).abs().max() < 1e-4
    assert (logits(load_adapted(out, base=base).model) - with_it).std() > 0.01, "the float base is another"
    with pytest.raises(ConfigError, match="rounded from another model, or otherwise"):
        open_base(str(base), "int8", out=out)


@pytest.mark.parametrize("file_type", ["q4_0", "q4_1", "q8_0"])
def test_a_gguf_base_stays_packed_with_the_same_numbers(file_type, chats, tmp_path) -> None:
    model = tiny_model(tokenizer().vocab_size)
    base = tmp_path / "base.gguf"
    write_gguf(base, model.config, model.state_dict(), tokenizer(), file_type)
    floats, packed = load_model(base), load_gguf_packed(base).model
    assert len(quantized_layers(packed)) == 6 * model.config.layers, "rows of 48 are no blocks of 32"
    for name, layer in quantized_layers(packed).items():
        assert torch.equal(layer.weight, floats.get_submodule(name).weight), name
    torch.testing.assert_close(logits(packed), logits(floats), atol=1e-5, rtol=1e-5)
    result = tune(config_of(base, chats, tmp_path / "tuned", kind="packed"))
    assert (logits(load_model(tmp_path / "tuned")) - logits(result.model)).abs().max() < 1e-4


def test_a_dry_run_writes_nothing_and_says_what_is_trained(base, chats, tmp_path) -> None:
    found = plan(config_of(base, chats, tmp_path / "tuned", kind="int4"))
    assert not (tmp_path / "tuned").exists()
    assert 0 < found["trained_parameters"] < found["parameters"] / 2


def test_peft_opens_what_was_tuned(base, chats, tmp_path) -> None:
    from peft import AutoPeftModelForCausalLM

    result = tune(config_of(base, chats, tmp_path / "tuned"))
    theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "tuned", dtype=torch.float32).eval()
    with torch.no_grad():
        assert (theirs(IDS).logits - logits(result.model)).abs().max() < 1e-4
