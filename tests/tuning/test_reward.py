"""`shizuku reward`: the loss, the run, and the trained model as a function."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import load_model, save_checkpoint
from shizuku.checkpoints.headed import save_headed
from shizuku.cli import main
from shizuku.errors import CheckpointError, ConfigError, DocumentError
from shizuku.models.heads import HeadedDecoder
from shizuku.training.config import LoopConfig, OptimizerConfig
from shizuku.training.step import accumulate_gradients
from shizuku.tuning.head_rows import head_outputs, read_at_end
from shizuku.tuning.pair_examples import EncodedPair
from shizuku.tuning.pair_rows import PairTable
from shizuku.tuning.pairs import PreferencePair
from shizuku.tuning.reward import train_reward
from shizuku.tuning.reward_config import RewardConfig, head_loop
from shizuku.tuning.reward_objective import PairwiseReward, pair_rewards
from shizuku.tuning.reward_scorer import RewardScorer
from tiny_language_model import tiny_model, tokenizer

WORDS = ("rain", "boat", "lake", "shop", "sea", "baker", "mat", "cat")


def records(number: int, *, seed: int = 0) -> list[dict]:
    """Pairs of which the answer with more boats is the better one."""
    random = np.random.default_rng(seed)
    found = []
    while len(found) < number:
        sides = [" ".join(random.choice(WORDS, 5, p=[0.1, 0.3, *[0.1] * 6])) for _ in range(2)]
        boats = [side.split().count("boat") for side in sides]
        if boats[0] != boats[1]:
            better = int(boats[1] > boats[0])
            prompt = f"{random.choice(WORDS)} {random.integers(1000)}?"
            found.append({"prompt": prompt, "chosen": sides[better], "rejected": sides[1 - better]})
    return found


@pytest.fixture
def base(tmp_path):
    return save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, records(300))), encoding="utf-8")
    return path


def loop(**changes: object) -> LoopConfig:
    plain = head_loop()
    values = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    return LoopConfig(**{**values, **changes})


def rate(value: float) -> OptimizerConfig:
    return OptimizerConfig(kind="adamw", learning_rate=value, embedding_learning_rate=None, weight_decay=0.0)


def headed(seed: int = 0) -> HeadedDecoder:
    model = HeadedDecoder(tiny_model(seed=seed), 1)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(seed))
    return model


def table(*, margins: bool = False) -> PairTable:
    random = np.random.default_rng(3)
    sides = [[int(each) for each in random.integers(1, 300, size)] for size in (4, 9, 2, 13, 7, 5)]
    plain = PreferencePair([], [], [])
    encoded = [
        EncodedPair(read_at_end(chosen), read_at_end(rejected), plain)
        for chosen, rejected in zip(sides[::2], sides[1::2], strict=True)
    ]
    asked = np.array([[0.5, 0.0], [0.0, 0.0], [2.0, 0.0]], np.float32) if margins else None
    return PairTable(encoded, context=32, reference=asked)


# ---- the loss


@torch.no_grad()
def test_packed_pairs_are_read_at_their_last_tokens_as_one_by_one() -> None:
    model, rows = headed().eval(), table()
    alone = [model(torch.tensor([side.ids[:-1]]))[0, -1, 0] for side in rows.sides]
    packed = pair_rewards(model, rows.batch([0, 1, 2]))
    torch.testing.assert_close(packed.flatten(), torch.stack(alone), atol=1e-5, rtol=1e-5)
    texts = [side.ids[:-1] for side in rows.sides]
    torch.testing.assert_close(head_outputs(model, texts)[:, 0], torch.stack(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("margins", [False, True])
def test_loss_is_that_of_bradley_and_terry_over_pairs(margins: bool) -> None:
    model, rows = headed(), table(margins=margins)
    with torch.no_grad():
        rewards = pair_rewards(model, rows.batch([0, 1, 2])).double()
    asked = torch.tensor([0.5, 0.0, 2.0]) if margins else torch.zeros(3)
    chances = torch.exp(rewards[:, 0]) / (torch.exp(rewards[:, 0]) + torch.exp(rewards[:, 1] + asked))
    step = accumulate_gradients(model, PairwiseReward(), [rows.batch([0, 1]), rows.batch([2])])
    assert step.loss == pytest.approx(float(-chances.log().mean()), rel=1e-5)
    right = float((rewards[:, 0] > rewards[:, 1]).double().mean())
    assert step.means["accuracy"] == pytest.approx(right)


def test_a_new_head_knows_nothing_and_learns_from_the_first_step() -> None:
    model = HeadedDecoder(tiny_model(), 1)
    step = accumulate_gradients(model, PairwiseReward(), [table().batch([0, 1, 2])])
    assert step.loss == pytest.approx(math.log(2), abs=1e-7) and step.means["accuracy"] == 0.5
    assert model.head.weight.grad.abs().max() > 0  # only it can move first: below it nothing is known yet
    assert all(not each.grad.any() for each in model.decoder.parameters() if each.grad is not None)


# ---- the run


def test_a_reward_model_prefers_what_the_pairs_prefer(base, pairs, tmp_path, capsys) -> None:
    out = tmp_path / "reward"
    command = ["reward", str(base), "--data", str(pairs), "--out", str(out), "--epochs", "3", "--json"]
    command += ["--loop.optimizer.learning-rate", "0.01", "--batch-size", "16", "--validation", "0.2"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    result = json.loads(capsys.readouterr().out)
    assert {"checkpoint", "pairs", "accuracy", "accuracy_interval", "loss", "seconds"} <= result.keys()
    assert result["pairs"] + result["heldout"] == 300
    low, high = result["accuracy_interval"]
    assert low <= result["accuracy"] <= high and result["accuracy"] > 0.8
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Held-out accuracy" in page and "stated probability" in page
    scorer = RewardScorer.load(out)
    held = records(200, seed=5)
    better = scorer([pair["prompt"] for pair in held], [pair["chosen"] for pair in held])
    worse = scorer([pair["prompt"] for pair in held], [pair["rejected"] for pair in held])
    assert np.mean(np.array(better) > np.array(worse)) > 0.8
    assert abs(np.mean(better)) < scorer.scale.deviation  # chosen answers were centred on zero
    asked = [{"role": "user", "content": held[0]["prompt"]}]
    assert scorer([asked], [held[0]["chosen"]])[0] == pytest.approx(better[0], abs=1e-4)
    assert math.isfinite(scorer([asked], [""])[0])


def test_an_adapter_with_the_head_is_kept_and_the_base_is_not_touched(base, pairs, tmp_path) -> None:
    before = load_model(base).state_dict()
    config = RewardConfig(
        model=str(base), data=(pairs,), out=tmp_path / "reward", report=False, batch_size=16,
        lora=AdapterConfig(rank=4), loop=loop(steps=40, optimizer=rate(0.02)),
    )  # fmt: skip
    result = train_reward(config)
    assert result.judgement.accuracy.mean > 0.75
    assert not (tmp_path / "reward" / "model.safetensors").exists()
    assert all(torch.equal(tensor, before[name]) for name, tensor in load_model(base).state_dict().items())
    again = RewardScorer.load(tmp_path / "reward")
    one = records(1, seed=9)[0]
    here = RewardScorer(result.model, result.tokenizer, result.scale)
    assert again([one["prompt"]], [one["chosen"]]) == pytest.approx(
        here([one["prompt"]], [one["chosen"]]), abs=1e-4
    )


def test_resumed_is_as_uninterrupted(base, pairs, tmp_path) -> None:
    def run(out: str, **changes: object) -> dict:
        config = RewardConfig(
            model=str(base), data=(pairs,), out=tmp_path / out, report=False, lora=AdapterConfig(rank=3),
            loop=loop(steps=6, evaluate_every=2, optimizer=rate(0.01), save_every=3, **changes),
        )  # fmt: skip
        result = train_reward(config)
        return result.to_json() | {"margins": result.margins}

    whole = run("whole")
    source = f"""
import os, signal
from shizuku.training import loop
record = loop._Training.record
def stopping(self, loss):
    if self.progress.step == 5:
        os.kill(os.getpid(), signal.SIGINT)
    return record(self, loss)
loop._Training.record = stopping
from shizuku.cli import main
main(["reward", {str(base)!r}, "--data", {str(pairs)!r}, "--out", {str(tmp_path / "parts")!r}, "--no-report",
      "--lora.rank", "3", "--steps", "6", "--loop.evaluate-every", "2", "--loop.save-every", "3",
      "--loop.optimizer.learning-rate", "0.01", "--loop.optimizer.betas", "0.9", "0.95"])
"""
    stopped = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120)
    assert stopped.returncode == 130, stopped.stderr
    assert "--resume" in stopped.stderr
    parts = run("parts", resume=True)
    assert np.array_equal(whole["margins"], parts["margins"])
    assert whole["validation_loss"] == parts["validation_loss"] and whole["kept_step"] == parts["kept_step"]


def test_margins_are_asked_for(base, tmp_path) -> None:
    path = tmp_path / "pairs.jsonl"
    some = [{**pair, "margin": 1.5} for pair in records(40)]
    path.write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    common = {"model": str(base), "data": (path,), "report": False}
    losses = []
    for margins in (False, True):
        config = RewardConfig(
            **common, out=tmp_path / f"reward{margins}", margins=margins, loop=loop(steps=1)
        )
        losses.append(train_reward(config).training.loss)
    assert losses == pytest.approx([math.log(2), math.log(1 + math.exp(1.5))], abs=1e-6)
    some[3].pop("margin")
    path.write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    with pytest.raises(ConfigError, match="not every pair has a margin"):
        train_reward(RewardConfig(**common, out=tmp_path / "third", margins=True))


def test_bad_pairs_are_counted_and_long_ones_dropped_or_cut(base, tmp_path) -> None:
    path = tmp_path / "pairs.jsonl"
    bad = [
        {"prompt": "same?", "chosen": "a boat", "rejected": "a boat"},
        {"prompt": "empty?", "chosen": "", "rejected": "a boat"},
        {"prompt": "long?", "chosen": "boat " * 200, "rejected": "cat " * 200},
    ]
    path.write_text("\n".join(map(json.dumps, [*records(30), *bad])), encoding="utf-8")
    common = {"model": str(base), "data": (path,), "report": False, "loop": loop(steps=1), "validation": 0.0}
    dropped = train_reward(RewardConfig(**common, out=tmp_path / "dropped"))
    assert (dropped.pairs, dropped.dropped, dropped.cut, dropped.judgement) == (30, 1, 0, None)
    run = json.loads((tmp_path / "dropped" / "run.json").read_text())
    assert sum(run["data"]["skipped"].values()) == 2
    cut = train_reward(RewardConfig(**common, out=tmp_path / "cut", too_long="cut"))
    assert (cut.pairs, cut.dropped, cut.cut) == (31, 0, 1)
    path.write_text(json.dumps(bad[0]), encoding="utf-8")
    with pytest.raises(DocumentError, match="equal sides"):
        train_reward(RewardConfig(**common, out=tmp_path / "none"))
    path.write_text("\n".join(map(json.dumps, records(12))), encoding="utf-8")
    with pytest.raises(DocumentError, match=r"is left to learn from: .*the prompt is held out"):
        train_reward(RewardConfig(**common, out=tmp_path / "all", validation_data=(path,)))


def test_a_dry_run_writes_nothing(base, pairs, tmp_path, capsys) -> None:
    command = [
        "reward",
        str(base),
        "--data",
        str(pairs),
        "--out",
        str(tmp_path / "reward"),
        "--dry-run",
        "--json",
    ]
    with pytest.raises(SystemExit):
        main(command)
    planned = json.loads(capsys.readouterr().out)
    assert planned["steps"] == math.ceil(planned["train_pairs"] / 8) and planned["seconds"] > 0
    assert not (tmp_path / "reward").exists()


# ---- the trained model as a function


def test_a_classifier_or_a_plain_model_is_no_reward_model(base, tmp_path) -> None:
    many = save_headed(tmp_path / "many", model=HeadedDecoder(tiny_model(), 2), tokenizer=tokenizer())
    with pytest.raises(CheckpointError, match="a classifier"):
        RewardScorer.load(many)
    with pytest.raises(CheckpointError, match="without a head"):
        RewardScorer.load(base)


def test_scores_do_not_depend_on_what_else_is_scored(tmp_path) -> None:
    path = save_headed(tmp_path / "model", model=headed(), tokenizer=tokenizer())
    scorer = RewardScorer.load(path)
    prompts, answers = (
        ["cat?", "The boat?", "sea?"],
        ["The cat sat. " * 4, "Rain", "A boat went over the lake"],
    )
    together = scorer(prompts, answers)
    alone = [scorer([prompt], [answer])[0] for prompt, answer in zip(prompts, answers, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) == 3
    (path / "reward.json").write_text('{"offset": 2.0, "deviation": 1.0}')
    assert RewardScorer.load(path)(prompts, answers) == pytest.approx(
        [2 + each for each in together], abs=1e-5
    )
    (path / "reward.json").write_text("{}")
    with pytest.raises(CheckpointError, match="offset and deviation"):
        RewardScorer.load(path)


@pytest.mark.parametrize(("prompts", "answers"), [(["a", "b"], ["c"]), ("ab", ["c", "d"]), (["a"], "b")])
def test_lists_of_one_length_are_asked_for(prompts, answers) -> None:
    with pytest.raises(ConfigError, match="same length"):
        RewardScorer(headed(), tokenizer())(prompts, answers)


def test_what_is_longer_than_the_window_is_read_up_to_there_and_said(tmp_path, capsys) -> None:
    path = save_headed(tmp_path / "model", model=headed(), tokenizer=tokenizer())
    scorer = RewardScorer.load(path)
    answer = "The cat sat on the mat. " * 40
    assert scorer(["cat?"], [answer]) == pytest.approx(scorer(["cat?"], [answer + "The sea. " * 9]), abs=1e-5)
    assert "window of 128 tokens" in capsys.readouterr().err
