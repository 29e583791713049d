"""`shizuku align --method dpo` as a user calls it, on a small model made here."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import load_model, save_checkpoint
from shizuku.checkpoints.headed import save_headed
from shizuku.checkpoints.run_record import checkpoint_digest
from shizuku.cli import main
from shizuku.errors import ConfigError, DocumentError
from shizuku.models.heads import HeadedDecoder
from shizuku.tuning.align import align
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.config import tuning_loop
from shizuku.tuning.dpo.config import DpoConfig
from shizuku.tuning.dpo.objective import Preference
from shizuku.tuning.dpo.reference import FILE
from shizuku.tuning.reward_scorer import RewardScorer
from tiny_language_model import bare_tokenizer, tiny_model, tokenizer

NAMES = ("Aki", "Ben", "Chie", "Dora", "Emi", "Finn", "Goro", "Hana", "Ines", "Jun")
RECORDS = [
    {"prompt": f"{a}, {b}?", "chosen": f"{b}.", "rejected": f"{a}!"} for a in NAMES for b in NAMES if a != b
]


@pytest.fixture
def base(tmp_path) -> Path:
    return save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())


@pytest.fixture
def pairs(tmp_path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, RECORDS)), encoding="utf-8")
    return path


def config_of(base: Path, pairs: Path, out: Path, *, rate: float = 3e-3, **changes) -> AlignConfig:
    loop_changes = changes.pop("loop", {})
    loop = tuning_loop()
    optimizer = dataclasses.replace(loop.optimizer, learning_rate=rate)
    loop = dataclasses.replace(loop, optimizer=optimizer, **{"steps": 8, **loop_changes})
    plain = {"model": str(base), "method": "dpo", "data": (pairs,), "out": out, "loop": loop}
    return AlignConfig(**{**plain, "samples": 0, "report": False, **changes})


def test_several_processes_are_refused_before_anything_is_read(base, pairs, tmp_path, monkeypatch) -> None:
    config = config_of(base, pairs, tmp_path / "aligned")
    with pytest.raises(ConfigError, match="runs in one process: start it without torchrun"):
        align(dataclasses.replace(config, loop=dataclasses.replace(config.loop, parallel="fsdp")))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="runs in one process: start it without torchrun"):
        align(config)
    assert not config.out.exists()


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_held_out_preferences_are_learned_and_the_checkpoint_opens(
    base, pairs, tmp_path, capsys, adapted
) -> None:
    out = tmp_path / "aligned"
    command = ["align", str(base), "--method", "dpo", "--data", str(pairs), "--out", str(out), "--json"]
    command += ["--steps", "30", "--samples", "3", "--sample-tokens", "8"]
    command += ["--loop.optimizer.learning-rate", "0.01" if adapted else "0.003"]
    with pytest.raises(SystemExit) as ended:
        main([*command, *(["--lora.rank", "4"] if adapted else [])])
    assert not ended.value.code
    result = json.loads(capsys.readouterr().out)
    assert {"checkpoint", "seconds", "reward_before", "reward_after", "kl"} <= result.keys()
    assert result["pairs"] + result["heldout"] == len(RECORDS)
    assert result["reward_before"] == 0 and result["accuracy_before"][0] == 0.5
    assert result["reward_after"] > 0.5 and result["accuracy_after"][1] > 0.8, "the interval's lower end"
    assert result["kl"] > 0
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["validation/accuracy"] == pytest.approx(result["accuracy_after"][0])
    assert history[-1]["validation/margin"] == pytest.approx(result["reward_after"], rel=1e-4)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Held-out accuracy" in page and "rejected in the data" in page
    assert (out / "adapter_config.json").is_file() == adapted
    lm = shizuku.load(out)
    assert lm.run["data"]["reference"]["name"] == str(base)
    answer = lm.respond([{"role": "user", "content": "Aki, Ben?"}], max_new_tokens=4)
    assert isinstance(answer.content, str)


class _Broken(Exception):
    """A power failure."""


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_a_run_that_broke_off_goes_on_to_the_same_weights(
    base, pairs, tmp_path, monkeypatch, adapted
) -> None:
    lora = AdapterConfig(rank=2 if adapted else 0)

    def config(out: str, **loop) -> AlignConfig:
        return config_of(base, pairs, tmp_path / out, lora=lora, loop={"save_every": 3, **loop})

    whole = align(config("whole"))
    compute, calls = Preference.loss, []

    def breaking(self, model, batch):
        calls.append(model.training)
        if sum(calls) > 5:
            raise _Broken
        return compute(self, model, batch)

    monkeypatch.setattr(Preference, "loss", breaking)
    with pytest.raises(_Broken):
        align(config("parts"))
    monkeypatch.setattr(Preference, "loss", compute)
    with pytest.raises(ConfigError, match=r"dpo.beta was 0.1, is 0.2"):
        align(dataclasses.replace(config("parts", resume=True), dpo=DpoConfig(beta=0.2)))
    parts = align(config("parts", resume=True))
    one, other = (load_model(result.training.checkpoint).state_dict() for result in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert parts.reward_after == whole.reward_after
    assert [r["loss"] for r in parts.training.history] == [r["loss"] for r in whole.training.history]


def test_the_reference_is_worked_out_once_and_anew_where_its_data_differ(
    base, pairs, tmp_path, capsys
) -> None:
    out, said = tmp_path / "aligned", "log-probabilities are taken from"
    align(config_of(base, pairs, out, loop={"steps": 2}))
    first = load_file(out / FILE)
    digest = checkpoint_digest(out)
    assert said not in capsys.readouterr().err
    align(config_of(base, pairs, out, loop={"steps": 2, "resume": True}))
    assert said in capsys.readouterr().err
    again = load_file(out / FILE)
    assert all(np.array_equal(value, first[name], equal_nan=True) for name, value in again.items())
    assert np.isfinite(first["heldout"]).all()
    assert np.isfinite(first["train"]).all(axis=1).sum() == 16, "only pairs that two steps of eight see"
    (out / FILE).unlink()
    assert checkpoint_digest(out) == digest, "it is no part of the model"
    pairs.write_text("\n".join(map(json.dumps, RECORDS[:50])), encoding="utf-8")
    with pytest.raises(ConfigError, match="the set of examples differs"):
        align(config_of(base, pairs, out, loop={"steps": 2, "resume": True}))
    assert said not in capsys.readouterr().err


def test_a_reference_that_is_not_the_start_is_allowed_and_said(base, pairs, tmp_path, capsys) -> None:
    other = save_checkpoint(
        tmp_path / "other", model=tiny_model(tokenizer().vocab_size, seed=7), tokenizer=tokenizer()
    )
    result = align(config_of(base, pairs, tmp_path / "out", reference=str(other), samples=2, sample_tokens=4))
    assert "not the model that training begins with" in capsys.readouterr().err
    assert result.reward_before != 0
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["data"]["reference"]["name"] == str(other) and run["parent"]["name"] == str(base)
    foreign = save_checkpoint(
        tmp_path / "foreign",
        model=tiny_model(320),
        tokenizer=type(tokenizer()).train(["other words, other tokens " * 50], 270),
    )
    with pytest.raises(ConfigError, match="other tokens than that of"):
        align(config_of(base, pairs, tmp_path / "out2", reference=str(foreign)))


def shortness(prompts: list[str], completions: list[str]) -> list[float]:
    """A reward for tests: fewer characters are better."""
    assert all(isinstance(prompt, str) for prompt in prompts)
    return [-float(len(text)) for text in completions]


def test_a_reward_measures_the_answers_before_and_after(base, pairs, tmp_path) -> None:
    """A function, and a reward model."""
    where = f"{__file__}:shortness"
    result = align(
        config_of(
            base, pairs, tmp_path / "out", reward=where, samples=4, sample_tokens=24, rate=5e-3,
            loop={"steps": 40}, dpo=DpoConfig(beta=0.02),
        )
    )  # fmt: skip
    assert result.figures["reward"] == where
    assert result.reward_before < 0 and result.reward_after != result.reward_before
    assert result.figures["margin_after"][0] > 0
    judge = HeadedDecoder(tiny_model(tokenizer().vocab_size, seed=5), 1)
    torch.nn.init.normal_(judge.head.weight)
    path = save_headed(tmp_path / "judge", model=judge, tokenizer=tokenizer())
    result = align(config_of(base, pairs, tmp_path / "judged", reward=str(path), samples=4, sample_tokens=8))
    asked = [f"{record['prompt']}" for record in RECORDS]
    assert result.reward_before != result.reward_after
    spread = RewardScorer.load(path)(asked, ["."] * len(asked))
    assert min(spread) - 5 < result.reward_before < max(spread) + 5
    with pytest.raises(ConfigError, match="has no longness"):
        align(config_of(base, pairs, tmp_path / "out2", reward=f"{__file__}:longness"))


@pytest.mark.parametrize("rank", [0, 2])
def test_a_model_that_does_not_move_stays_at_its_reference(pairs, tmp_path, rank) -> None:
    """Also one that had to be given a template, and tokens for it."""
    bare = bare_tokenizer() if rank == 0 else tokenizer()
    base = save_checkpoint(tmp_path / "base", model=tiny_model(bare.vocab_size), tokenizer=bare)
    still = {"rate": 1e-12, "samples": 3, "sample_tokens": 6, "lora": AdapterConfig(rank=rank)}
    result = align(config_of(base, pairs, tmp_path / "out", loop={"steps": 2}, **still))
    assert result.kl == pytest.approx(0, abs=1e-6)
    assert result.reward_after == pytest.approx(0, abs=1e-4)
    assert result.training.loss == pytest.approx(math.log(2), abs=1e-4)


def test_long_answers_are_dropped_or_cut_and_counted(base, pairs, tmp_path) -> None:
    long = {"prompt": "Aki?", "chosen": "Ben. " * 60, "rejected": "Finn! " * 60}
    pairs.write_text("\n".join(map(json.dumps, [*RECORDS[:20], long])), encoding="utf-8")
    dropped = align(config_of(base, pairs, tmp_path / "a", validation=0.0, loop={"steps": 2}))
    assert (dropped.figures["dropped"], dropped.figures["cut"], dropped.figures["pairs"]) == (1, 0, 20)
    cut = align(config_of(base, pairs, tmp_path / "b", validation=0.0, too_long="cut", loop={"steps": 2}))
    assert (cut.figures["dropped"], cut.figures["cut"], cut.figures["pairs"]) == (0, 1, 21)
    assert cut.reward_before is None and cut.kl is None
    with pytest.raises(DocumentError, match="--too-long cut"):
        align(config_of(base, pairs, tmp_path / "c", context=4))


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(base, pairs, tmp_path, capsys) -> None:
    out = tmp_path / "aligned"
    with pytest.raises(SystemExit) as ended:
        main(
            [
                *["align", str(base), "--method", "dpo", "--data", str(pairs), "--out", str(out)],
                *["--lora.rank", "2", "--dry-run", "--json"],
            ]
        )
    assert not ended.value.code and not out.exists()
    plan = json.loads(capsys.readouterr().out)
    assert plan["trained_parameters"] < plan["parameters"] and plan["padding"] < 0.1
    assert plan["steps"] == -(-plan["train_pairs"] // 8) and plan["heldout_pairs"] > 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--method", "ppo"], "--method ppo needs a --reward"),
        (
            ["--method", "grpo", "--reward", "m:f", "--dpo.beta", "0.3"],
            "settings of --method dpo, not of grpo",
        ),
        (["--method", "dpo", "--dpo.reference", "each"], "give --lora.rank"),
        (
            ["--method", "dpo", "--dpo.reference", "each", "--lora.rank", "2", "--reference", "x"],
            "leave out --reference",
        ),
        (["--method", "dpo", "--keep", "best", "--validation", "0"], "--keep best needs held-out"),
        (["--method", "dpo", "--base", "int4"], "give --lora.rank"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_before_any_work(
    flags, says, tmp_path, capsys
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["align", "no-such-model", "--data", "no.jsonl", "--out", str(tmp_path / "out"), *flags])
    assert ended.value.code == 2
    assert says in " ".join(capsys.readouterr().err.split())
