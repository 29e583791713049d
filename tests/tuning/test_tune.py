"""`shizuku tune` as a user calls it, on a small model made here."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import load_model, save_checkpoint
from shizuku.cli import main
from shizuku.errors import ConfigError, DocumentError
from shizuku.models.architectures import architecture, build
from shizuku.training.config import LoopConfig
from shizuku.tuning.answers import answers_of
from shizuku.tuning.config import TuneConfig, tuning_loop
from shizuku.tuning.examples import Conversation
from shizuku.tuning.tune import tune
from tiny_language_model import bare_tokenizer, tiny_model, tokenizer

NAMES = ("Aki", "Ben", "Chie", "Dora", "Emi", "Finn", "Goro", "Hana", "Ines", "Jun", "Kai", "Lena")
RECORDS = [
    {"messages": [{"role": "user", "content": f"{a}, {b}?"}, {"role": "assistant", "content": f"{b}."}]}
    for a in NAMES
    for b in NAMES[:4]
]


@pytest.fixture
def base(tmp_path):
    return save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())


@pytest.fixture
def chats(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, RECORDS)), encoding="utf-8")
    return path


def loop(**changes: object) -> LoopConfig:
    plain = tuning_loop()
    values = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    return LoopConfig(**{**values, **changes})


def test_a_tuned_model_answers_and_stops_and_opens_as_any_other(base, chats, tmp_path, capsys) -> None:
    out = tmp_path / "tuned"
    command = ["tune", str(base), "--data", str(chats), "--out", str(out), "--steps", "30", "--json"]
    command += ["--samples", "2", "--sample-tokens", "8", "--loop.optimizer.learning-rate", "0.01"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    result = json.loads(capsys.readouterr().out)
    assert {"checkpoint", "examples", "seconds", "tokens_per_second", "loss"} <= result.keys()
    assert result["examples"] + result["heldout"] == len(RECORDS) and result["heldout"] > 0
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["loss"] < history[0]["loss"] / 2
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "held out" in page and "before" in page
    lm = shizuku.load(out)
    assert "chat" in lm.capabilities
    assert lm.run["parent"] and lm.run["data"]["train"]["examples"] == result["examples"]
    answer = lm.respond([{"role": "user", "content": "Aki, Ben?"}], max_new_tokens=8)
    assert answer.content == "Ben." and answer.finish == "stop"
    assert result["stops_before"] == 0 and result["stops_after"] == 1


def test_the_checkpoint_has_the_best_weights_and_patience_ends_a_run(base, chats, tmp_path) -> None:
    config = TuneConfig(
        model=str(base), data=(chats,), out=tmp_path / "tuned", samples=0, report=False,
        loop=loop(steps=40, evaluate_every=2, patience=2, optimizer=_rate(0.3)),
    )  # fmt: skip
    result = tune(config)
    judged = {
        record["step"]: record["validation_loss"]
        for record in result.training.history
        if "validation_loss" in record
    }
    best = min(judged, key=lambda step: judged[step])
    assert max(judged) < 40 and best < max(judged), "too high a rate ends early"
    assert result.training.kept_step == best
    assert result.training.validation_loss == pytest.approx(judged[best])
    kept = load_model(result.training.checkpoint).state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in result.model.state_dict().items())
    assert not (config.out / "best").exists()


def _rate(rate: float):
    optimizer = tuning_loop().optimizer
    values = {name: getattr(optimizer, name) for name in optimizer.__dataclass_fields__}
    return type(optimizer)(**{**values, "learning_rate": rate})


def test_answers_that_do_not_end_are_said_with_what_would_change_it(base, chats, tmp_path, capsys) -> None:
    def told(name: str, *more: str) -> str:
        command = ["tune", str(base), "--data", str(chats), "--out", str(tmp_path / name), "--no-report"]
        with pytest.raises(SystemExit):
            main([*command, "--steps", "1", "--samples", "2", "--sample-tokens", "4", *more])
        return capsys.readouterr().err

    whole, adapter = told("whole"), told("adapter", "--lora.rank", "2")
    assert "only 0% of 2 sample answers of at most 4 tokens end by themselves" in " ".join(whole.split())
    assert "rows of tokens" in " ".join(adapter.split()) and "--chat-template" in adapter
    assert "--chat-template" not in whole


def test_what_is_held_out_by_file_is_not_learned_from(base, chats, tmp_path, capsys) -> None:
    held = tmp_path / "held.jsonl"
    held.write_text("\n".join(map(json.dumps, RECORDS[:3])), encoding="utf-8")
    common = {"model": str(base), "validation_data": (held,), "samples": 0, "report": False}
    result = tune(TuneConfig(**common, data=(chats,), out=tmp_path / "tuned", loop=loop(steps=1)))
    prompts = {json.dumps(one["messages"][:-1]) for one in RECORDS[:3]}
    kept = [one for one in RECORDS if json.dumps(one["messages"][:-1]) not in prompts]
    assert result.examples == len(kept) < len(RECORDS) and result.heldout == 3
    assert "the prompt is held out" in capsys.readouterr().err
    with pytest.raises(DocumentError, match="no conversation is left to learn from"):
        tune(TuneConfig(**common, data=(held,), out=tmp_path / "none", loop=loop(steps=1)))


def test_answers_of_the_base_are_taken_up_only_where_the_same_was_asked(
    base, chats, tmp_path, capsys
) -> None:
    def run(tokens: int, **changed: object) -> str:
        config = TuneConfig(
            model=str(base), data=(chats,), out=tmp_path / "tuned", samples=2, report=False,
            sample_tokens=tokens, loop=loop(steps=1, **changed),
        )  # fmt: skip
        tune(config)
        return capsys.readouterr().err

    asked = "answering 2 held-out prompts before tuning"
    assert asked in run(3)
    assert asked not in run(3, resume=True)
    assert asked in run(4, resume=True)


def test_noise_is_noticed_on_resume(base, chats, tmp_path) -> None:
    def run(alpha: float, **changed: object) -> None:
        tune(
            TuneConfig(
                model=str(base),
                data=(chats,),
                out=tmp_path / "tuned",
                samples=0,
                report=False,
                neftune_alpha=alpha,
                loop=loop(steps=2, **changed),
            )
        )

    run(5.0)
    with pytest.raises(ConfigError, match=r"neftune_alpha was 5.0, is 15.0"):
        run(15.0, resume=True)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(base, chats, tmp_path) -> None:
    def command(out: str) -> list[str]:
        found = [sys.executable, "-m", "shizuku", "tune", str(base), "--data", str(chats), "--steps", "300"]
        return [*found, "--samples", "0", "--no-report", "--threads", "1", "--out", str(tmp_path / out)]

    subprocess.run(command("whole"), check=True, capture_output=True)
    process = subprocess.Popen(command("parts"), stderr=subprocess.PIPE)
    metrics = tmp_path / "parts" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not metrics.exists() or metrics.read_text().count("\n") < 40):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0 and b"--resume" in said, said
    subprocess.run([*command("parts"), "--resume"], check=True, capture_output=True)
    whole, parts = (load_model(tmp_path / name).state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("kind", ["decoder", "mamba"])
def test_a_base_without_a_template_gets_chatml_and_its_tokens(kind, chats, tmp_path) -> None:
    bare = bare_tokenizer()
    model = tiny_model(bare.vocab_size)
    if kind != "decoder":
        made = architecture(kind)
        shape = {**next(iter(made.presets.values())), "context": 64}
        model = build(made.config(vocab_size=bare.vocab_size, **shape))
        made.initialise(model, 0)
    base = save_checkpoint(tmp_path / "bare", model=model, tokenizer=bare)
    config = TuneConfig(
        model=str(base), data=(chats,), out=tmp_path / "tuned", samples=0, report=False, loop=loop(steps=2)
    )
    result = tune(config)
    assert result.tokenizer.vocab_size == bare.vocab_size + 2
    lm = shizuku.load(config.out)
    assert "chat" in lm.capabilities
    assert lm.tokenizer.stop_ids


def test_what_cannot_be_tuned_is_said(base, chats, tmp_path) -> None:
    def config(**changes: object) -> TuneConfig:
        values = {"model": str(base), "data": (chats,), "out": tmp_path / "tuned", "samples": 0}
        return TuneConfig(**{**values, "report": False, **changes})

    with pytest.raises(ConfigError, match=r"--base int4.*--lora\.rank"):
        tune(config(base="int4"))
    with pytest.raises(ConfigError, match=r"--base packed.*are floats"):
        tune(config(base="packed", lora=AdapterConfig(rank=4)))
    with pytest.raises(ConfigError, match="fsdp"):
        tune(config(lora=AdapterConfig(rank=4), loop=loop(steps=2, parallel="fsdp")))
    with pytest.raises(ConfigError, match="--context 4096"):
        tune(config(context=4096))
    with pytest.raises(DocumentError, match="--too-long cut"):
        tune(config(context=2))
    with pytest.raises(ConfigError, match=r"--loop\.patience"):
        tune(config(validation=0.0, loop=loop(steps=2, patience=1)))
    with pytest.raises(ConfigError, match="--label-smoothing"):
        config(label_smoothing=1.5)
    assert not (tmp_path / "tuned" / "model.safetensors").exists()


def test_an_answer_has_the_room_that_its_prompt_leaves() -> None:
    made = tiny_model(tokenizer().vocab_size)
    turns = [("user", "a " * 500), ("assistant", "b")]
    long, short = (
        Conversation([{"role": role, "content": text[:size]} for role, text in turns]) for size in (1000, 9)
    )
    answers = answers_of(made, tokenizer(), [long, short], max_new_tokens=100_000)
    assert answers[0].text == "" and not answers[0].stopped and answers[1].text
