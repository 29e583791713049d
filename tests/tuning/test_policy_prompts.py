"""Prompts out of files, and settings that don't go with policies."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.errors import ConfigError, DocumentError
from shizuku.text.problems import Problems
from shizuku.tuning.align_config import AlignConfig, check_method
from shizuku.tuning.config import tuning_loop
from shizuku.tuning.policy.checks import check_policy
from shizuku.tuning.policy.config import GRPOConfig, PPOConfig
from shizuku.tuning.policy.prompts import encode_prompts, read_prompts, split_prompts
from shizuku.tuning.policy.run import prepare
from tiny_language_model import bare_tokenizer, tiny_model, tokenizer

USER = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "So."}
RECORDS = {
    "text": {"prompt": "Why?", "answer": "So."},
    "messages": {"prompt": [USER]},
    "a chat that was answered": {"messages": [USER, ANSWER]},
    "ShareGPT": {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
    "question": {"question": "Why?"},
    "Alpaca": {"instruction": "Why?", "input": "", "output": "So."},
    "a pair": {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
}


def written(path: Path, records: list[object]) -> Path:
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_every_format_gives_the_prompt_without_its_answer(tmp_path, record) -> None:
    (found,) = read_prompts([written(tmp_path / "p.jsonl", [record])], problems=Problems()).items
    assert [dict(turn) for turn in found.turns] == [USER] and found.text == "Why?"
    assert found.record == record


def test_several_turns_are_told_to_the_reward_as_turns_and_bad_records_are_counted(tmp_path) -> None:
    system = {"role": "system", "content": "Be short."}
    records = [{"prompt": [system, USER, ANSWER, USER]}, {"prompt": ""}, {"other": 1}, {"prompt": [ANSWER]}]
    problems = Problems()
    read = read_prompts([written(tmp_path / "p.jsonl", records)], problems=problems)
    assert [turn["role"] for turn in read.items[0].text] == ["system", "user", "assistant", "user"]
    assert sum(problems.counts.values()) == 3
    with pytest.raises(DocumentError, match="no prompt in"):
        read_prompts([written(tmp_path / "q.jsonl", [{"other": 1}])], problems=Problems())


def test_the_same_words_are_on_one_side_only(tmp_path) -> None:
    records = [{"prompt": f"{number % 20}  is what?"} for number in range(40)]
    read = read_prompts([written(tmp_path / "p.jsonl", records)], problems=Problems()).items
    learned, held = split_prompts(read, 0.2, 0)
    assert len(learned) == 16 and len(held) == 4
    assert not {prompt.text for prompt in learned} & {prompt.text for prompt in held}
    assert {prompt.text for prompt in split_prompts(read[::-1], 0.2, 0)[1]} == {
        prompt.text for prompt in held
    }


def test_prompts_are_rendered_by_the_template_or_stand_as_text_and_long_ones_are_left_out(tmp_path) -> None:
    records = [{"prompt": "The cat"}, {"prompt": "The cat sat on the mat " * 20}]
    read = read_prompts([written(tmp_path / "p.jsonl", records)], problems=Problems()).items
    problems = Problems()
    (chat,) = encode_prompts(tokenizer(), read, chat=True, room=40, problems=problems)
    assert chat.ids == tokenizer().encode_chat([{"role": "user", "content": "The cat"}])
    assert "no room to answer" in problems.report()
    (plain,) = encode_prompts(bare_tokenizer(), read, chat=False, room=40, problems=Problems())
    assert plain.ids == bare_tokenizer().encode("The cat") and plain.text == "The cat"


def config(method: str = "ppo", **changes: object) -> AlignConfig:
    values = {
        "model": "m",
        "method": method,
        "data": (Path("d"),),
        "out": Path("o"),
        "reward": "a:b",
    } | changes
    return AlignConfig(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": 2.0}, "--epochs.*--ppo.rounds"),
        ({"batch_size": 2}, "--batch-size.*--ppo.answers"),
        ({"lora": AdapterConfig(rank=2, dropout=0.1)}, "--lora.dropout"),
        ({"loop": replace(tuning_loop(), dropout=0.1)}, "--loop.dropout"),
        ({"loop": replace(tuning_loop(), max_seconds=9.0)}, "--loop.max-seconds.*--ppo.rounds"),
        ({"loop": replace(tuning_loop(), patience=2)}, "--loop.patience"),
        ({"sample_tokens": 9}, "--sample-tokens.*--ppo.max-new-tokens"),
    ],
)
def test_settings_that_policies_have_no_use_for_are_refused(changes, says) -> None:
    check_policy(config())
    with pytest.raises(ConfigError, match=says):
        check_policy(config(**changes))


def test_settings_of_another_method_and_a_missing_reward_are_refused() -> None:
    for changes, says in (
        ({"reward": None}, "--method ppo needs a --reward"),
        ({"grpo": GRPOConfig(group=4)}, "--grpo"),
        ({"method": "grpo", "reward": None}, "--method grpo needs a --reward"),
        ({"method": "grpo", "ppo": PPOConfig(kl=0.1)}, "--ppo"),
    ):
        with pytest.raises(ConfigError, match=says):
            check_method(config(**changes))


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        (PPOConfig, {"answers": 10}, "--ppo.answers 10: expected a multiple of --ppo.minibatch 16"),
        (PPOConfig, {"temperature": 0.0}, "--ppo.temperature"),
        (PPOConfig, {"kl": 0.0, "kl_target": 1.0}, "--ppo.kl-target"),
        (PPOConfig, {"gae_lambda": 1.5}, "--ppo.gae-lambda"),
        (GRPOConfig, {"group": 1}, "--grpo.group 1"),
        (GRPOConfig, {"group": 5}, "multiple of --grpo.group 5"),
    ],
)
def test_impossible_numbers_are_refused_with_their_flag(kind, changes, says) -> None:
    with pytest.raises(ConfigError, match=says):
        kind(**changes)


def test_answers_that_fill_the_window_are_refused_by_their_flag(tmp_path) -> None:
    base = save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())
    data = tmp_path / "prompts.jsonl"
    data.write_text('{"prompt": "Say one"}\n' * 4, encoding="utf-8")
    config = AlignConfig(
        model=str(base), method="ppo", data=(data,), out=tmp_path / "out", reward="os:getcwd",
        ppo=PPOConfig(max_new_tokens=100_000),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"--ppo.max-new-tokens 100000: the model's window of"):
        prepare(config)
