"""`shizuku align --method ppo|grpo` as a user calls it, on a small model made here."""

import json
from dataclasses import replace

import pytest

import shizuku
from shizuku.checkpoints.directory import load_model, save_checkpoint
from shizuku.cli import main
from shizuku.errors import ConfigError
from shizuku.tuning.align import align
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.policy.config import GRPOConfig
from tiny_language_model import tiny_model, tokenizer

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PROMPTS = [{"prompt": f"Say {word}"} for word in WORDS]
REWARD = """
import pathlib

def a(prompts, completions):
    flaw = pathlib.Path(__file__).with_name("flaw")
    if flaw.exists():
        flaw.write_text(flaw.read_text() + "x")
        if len(flaw.read_text()) > 3:  # before, and two rounds
            raise ValueError("no more")
    return [c.count('a') / (1 + len(c)) for c in completions]
"""


@pytest.fixture
def base(tmp_path):
    return save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())


@pytest.fixture
def files(tmp_path):
    data, reward = tmp_path / "prompts.jsonl", tmp_path / "judge.py"
    data.write_text("\n".join(map(json.dumps, PROMPTS)), encoding="utf-8")
    reward.write_text(REWARD, encoding="utf-8")
    return data, f"{reward}:a"


def command(base, files, out, method="ppo", *more: str) -> list[str]:
    data, reward = files
    words = [
        "align",
        str(base),
        "--method",
        method,
        "--data",
        str(data),
        "--reward",
        reward,
        "--out",
        str(out),
    ]
    small = {"answers": 8, "minibatch": 4, "rounds": 3, "max-new-tokens": 6}
    for name, value in small.items():
        words += [f"--{method}.{name}", str(value)]
    return [*words, "--loop.optimizer.learning-rate", "0.003", "--json", *more]


def aligned(words: list[str], capsys) -> dict:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("ppo", []),
        ("ppo", ["--lora.rank", "2"]),
        ("ppo", ["--ppo.critic", "shared"]),
        ("grpo", ["--grpo.group", "4"]),
    ],
)
def test_an_aligned_model_opens_and_the_run_says_what_it_came_to(base, files, tmp_path, capsys, method, more):
    out = tmp_path / "aligned"
    result = aligned(command(base, files, out, method, *more), capsys)
    assert {"checkpoint", "seconds", "reward_before", "reward_after", "kl"} <= result.keys()
    assert result["rounds"] == 3 and result["answers"] == 24
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert history[0]["ratio/furthest"] < 1e-6 and abs(history[0]["rollout/kl"]) < 1e-5
    assert max(record["rollout/engine_gap"] for record in history) < 1e-4
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Divergence from the reference" in page and "before" in page
    assert shizuku.load(out).generate("Say", max_new_tokens=2) is not None


@pytest.mark.parametrize(
    ("method", "more"), [("ppo", []), ("ppo", ["--lora.rank", "2"]), ("grpo", ["--grpo.group", "4"])]
)
def test_a_resumed_run_ends_at_the_very_numbers_of_an_uninterrupted_one(
    base, files, tmp_path, capsys, method, more
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    flat = [*more, "--no-report", "--steps", "20", "--loop.save-every", "9" if method == "ppo" else "3"]
    if method == "ppo":
        flat += ["--ppo.kl-target", "0.1"]
    aligned([*command(base, files, whole, method, *flat)], capsys)
    flaw = tmp_path / "flaw"
    flaw.touch()
    with pytest.raises(SystemExit) as ended:
        main(command(base, files, parts, method, *flat))
    assert ended.value.code == 2 and "ValueError: no more" in capsys.readouterr().err
    flaw.unlink()
    aligned([*command(base, files, parts, method, *flat), "--resume"], capsys)
    for file in (
        "state/optimizer.safetensors",
        "adapter_model.safetensors" if "--lora.rank" in more else "model.safetensors",
    ):
        assert (whole / file).read_bytes() == (parts / file).read_bytes(), file
    records = [
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        for out in (whole, parts)
    ]
    timed = ("seconds", "tokens_per_second", "flops_per_second")
    plain = [[{k: v for k, v in one.items() if k not in timed} for one in run] for run in records]
    assert plain[0] == plain[1]


@pytest.fixture
def begun(base, files, tmp_path, capsys):
    """A run with a reference of its own that broke off in its second round, and its command."""
    out, flaw = tmp_path / "begun", tmp_path / "flaw"
    words = [*command(base, files, out), "--no-report", "--loop.save-every", "4"]
    flaw.touch()
    with pytest.raises(SystemExit):
        main(words)
    capsys.readouterr()
    flaw.unlink()
    return out, words


def test_a_resumed_run_refuses_what_would_make_it_another(base, files, begun, tmp_path, capsys) -> None:
    _, words = begun
    others = [{"prompt": f"Tell {word}"} for word in WORDS]
    (tmp_path / "others.jsonl").write_text("\n".join(map(json.dumps, others)), encoding="utf-8")
    (tmp_path / "judge2.py").write_text(REWARD, encoding="utf-8")
    other = save_checkpoint(
        tmp_path / "other", model=tiny_model(tokenizer().vocab_size, seed=1), tokenizer=tokenizer()
    )
    changes = {
        "prompts": ["--data", str(tmp_path / "others.jsonl")],
        "reward": ["--reward", f"{tmp_path / 'judge2.py'}:a"],
        "ppo.clip": ["--ppo.clip", "0.5"],
        "ppo.temperature": ["--ppo.temperature", "2"],
        "ppo.kl": ["--ppo.kl", "0.5"],
        "reference": ["--reference", str(other)],
    }
    for named, change in changes.items():
        flag = change[0]
        kept = [w for n, w in enumerate(words) if w != flag and (n == 0 or words[n - 1] != flag)]
        with pytest.raises(SystemExit) as ended:
            main([*kept, *change, "--resume"])
        said = capsys.readouterr().err
        assert ended.value.code == 2 and "--resume" in said and named in said, (named, said)
    with pytest.raises(SystemExit) as ended:
        main(["align", str(other), *words[2:], "--resume"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "began with" in said and "other" in said
    assert aligned([*words, "--resume", "--ppo.reward-seconds", "30"], capsys)["rounds"] == 3


def test_a_function_is_a_reward_in_python(base, files, tmp_path) -> None:
    config = AlignConfig(
        model=str(base), method="grpo", data=(files[0],), out=tmp_path / "out", report=False,
        grpo=GRPOConfig(answers=8, group=4, minibatch=4, rounds=1, max_new_tokens=4),
    )  # fmt: skip
    seen: list[str] = []

    def short(prompt: str, completion: str) -> float:
        seen.append(prompt)
        return -len(completion)

    result = align(config, reward=short)
    assert result.figures["rounds"] == 1 and len(seen) >= 8 and all(one.startswith("Say") for one in seen)
    with pytest.raises(ConfigError, match="pairs"):
        align(replace(config, method="dpo", grpo=GRPOConfig(), out=tmp_path / "o"), reward=short)


def test_answers_that_fill_the_window_are_refused_by_their_flag(base, files, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command(base, files, tmp_path / "o", "grpo", "--grpo.max-new-tokens", "5000", "--no-report"))
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "--grpo.max-new-tokens 5000" in said and "window" in said
    assert "skipped" not in said and not (tmp_path / "o").exists()


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(base, files, tmp_path, capsys) -> None:
    out = tmp_path / "aligned"
    plan = aligned([*command(base, files, out), "--dry-run"], capsys)
    assert plan["rounds"] == 3 and plan["answers"] == 24 and plan["steps"] == 24 and plan["seconds"] > 0
    policy = sum(one.numel() for one in load_model(base).parameters())
    assert plan["trained_parameters"] == plan["parameters"] > policy, "the critic counts too"
    assert not out.exists()


def test_another_reference_is_said_and_the_divergence_begins_above_zero(
    base, files, tmp_path, capsys
) -> None:
    other = save_checkpoint(
        tmp_path / "other", model=tiny_model(tokenizer().vocab_size, seed=1), tokenizer=tokenizer()
    )
    out = tmp_path / "aligned"
    words = [*command(base, files, out), "--reference", str(other), "--steps", "1", "--no-report"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code and "not the model that training begins with" in capsys.readouterr().err
    first = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert first["rollout/kl_k3"] > 0.1
