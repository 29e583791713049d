"""PPO beside trl's trainer: answers sampled, judged and learned from in a second, by turns.

    pip install --no-deps --target TRL trl==1.12.0
    python benchmarks/ppo_speed.py --trl TRL

A Llama shape with random weights (13.8 M parameters unless told otherwise), the same on both sides, prompts
of 24 random ids, answers of 32 tokens, float32 on the processor. A round samples 64 answers and goes through
them in 4 epochs of batches of 16, one optimizer step an epoch. Each side has a policy, a frozen reference,
and a value model of the policy's size that starts as its copy; the reward is the same trivial count on both
sides. `shared` is our side with the value head on the policy's own stream, which the peer does not have.

trl took its experimental PPOTrainer out after 1.12: give the folder of a version that has it. The peer takes
the log-probabilities of sampling as the old ones; ours works them out once more by the training forward.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from taking_turns import Answer, Turns, end, medians, per, ratio_line, start, turns

SHAPE = {"vocab_size": 8192, "width": 384, "layers": 6, "heads": 6, "ffn_width": 1024, "context": 256}
PROMPTS, PROMPT, ANSWER = 256, 24, 32
ANSWERS, BATCH, EPOCHS = 64, 16, 4
END, PAD = 0, 1
RATE = 1e-5
SIDES = ("separate", "trl", "shared")


def main() -> None:
    """Write the model, start the sides, let them take turns, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trl", type=Path, required=True, help="folder of a trl that has PPO")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=SHAPE["layers"])
    parser.add_argument("--width", type=int, default=SHAPE["width"], help="in heads of 64")
    parser.add_argument("--minutes", type=float, default=15, help="begin no round that would end later")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        serve(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(arguments, Path(folder))
        more = ["--folder", folder]
        sides = {side: start(side, *more, **peer_path(arguments, side)) for side in SIDES}
        try:
            print_table(turns(sides, arguments.rounds, minutes=arguments.minutes))
        finally:
            end(sides.values())


def peer_path(arguments: argparse.Namespace, side: str) -> dict[str, str]:
    """Where the peer's process finds its trl before any other."""
    return {"PYTHONPATH": str(arguments.trl.resolve())} if side == "trl" else {}


def prepare(arguments: argparse.Namespace, folder: Path) -> None:
    """Write random weights as a Hugging Face directory, and random prompts."""
    import torch

    from shizuku.checkpoints.directory import save_checkpoint
    from shizuku.models.decoder import Decoder, DecoderConfig, initialise

    width = arguments.width
    size = {"width": width, "heads": width // 64, "ffn_width": width * 8 // 3, "layers": arguments.layers}
    model = Decoder(DecoderConfig(**{**SHAPE, **size}))
    initialise(model, 0)
    save_checkpoint(folder / "model", model=model)
    torch.manual_seed(0)
    prompts = torch.randint(2, SHAPE["vocab_size"], (PROMPTS, PROMPT)).tolist()
    (folder / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")


def print_table(answers: dict[str, list[Answer]]) -> None:
    """Medians over the rounds, and the ratios to the peer."""
    print(f"{'':<9} {'answers/s':>9} {'a processor second':>18} {'tokens an answer':>16} {'peak MiB':>9}")
    for side, each in answers.items():
        middle = medians(each)
        print(
            f"{side:<9} {ANSWERS / middle['seconds']:9,.2f} {ANSWERS / middle['processor_seconds']:18,.2f} "
            f"{middle['tokens'] / middle['answers']:16,.1f} {each[-1]['peak_bytes'] / 2**20:9,.0f}"
        )
    for side in ("separate", "shared"):
        for clock in ("seconds", "processor_seconds"):
            ours, theirs = (per(answers[one], "answers", clock) for one in (side, "trl"))
            print(ratio_line(ours, theirs, f"{clock}, {side} to trl"))


def serve(arguments: argparse.Namespace) -> None:
    """Be one side."""
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    prompts = json.loads((arguments.folder / "prompts.json").read_text(encoding="utf-8"))
    side: Callable[..., None] = peer if arguments.side == "trl" else ours
    side(arguments, prompts)


def judged(ids: Sequence[int]) -> float:
    """The trivial reward: the share of even ids."""
    return sum(1 - one % 2 for one in ids) / max(len(ids), 1)


def ours(arguments: argparse.Namespace, prompts: list[list[int]]) -> None:
    """Shizuku's rollouts, objective and loop."""
    import copy

    from shizuku.checkpoints.directory import load_checkpoint
    from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
    from shizuku.training.loop import train
    from shizuku.tuning.policy.config import PPOConfig
    from shizuku.tuning.policy.critic import ActorCritic
    from shizuku.tuning.policy.ppo import PPO
    from shizuku.tuning.policy.rewards import CallableReward
    from shizuku.tuning.policy.rollouts import Prompt
    from shizuku.tuning.policy.source import RolloutSource, Task, frozen

    taking = Turns(EPOCHS, warm_up=EPOCHS)
    policy = load_checkpoint(arguments.folder / "model").model

    def reward(prompts: list[str], completions: list[str]) -> list[float]:
        answers = [[int(one) for one in completion.split()] for completion in completions]
        taking.count(answers=len(answers), tokens=sum(map(len, answers)))
        return [judged(answer) for answer in answers]

    config = PPOConfig(
        answers=ANSWERS, minibatch=BATCH, epochs=EPOCHS, max_new_tokens=ANSWER, critic=arguments.side
    )
    task = Task(
        prompts=[Prompt(ids, " ".join(map(str, ids))) for ids in prompts],
        reward=CallableReward(reward),
        decode=lambda ids: " ".join(map(str, ids)),
        stop_ids=frozenset([END]),
    )
    method, model = PPO(config), ActorCritic(policy, config.critic)
    source = RolloutSource(model, task, method, frozen(copy.deepcopy(policy)))
    optimizer = OptimizerConfig(
        kind="adamw", learning_rate=RATE, embedding_learning_rate=None, weight_decay=0.0
    )
    loop = LoopConfig(
        steps=100_000, accumulate=ANSWERS // BATCH, optimizer=optimizer, schedule=ScheduleConfig(warmup=0.0),
        log_every=1, save_minutes=None,
    )  # fmt: skip
    train(
        model,
        method,
        source,
        loop,
        out=arguments.folder / arguments.side,
        on_log=lambda _: taking.after_step(),
    )


def peer(arguments: argparse.Namespace, prompts: list[list[int]]) -> None:
    """trl's PPOTrainer, its rollouts by transformers' generate."""
    import datasets
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, TrainerCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    class Steps(TrainerCallback):
        def on_step_end(self, *rest: Any, **named: Any) -> None:
            taking.after_step()

    class Judge(torch.nn.Module):
        """The same reward, in the shape of a model."""

        base_model_prefix = "backbone"

        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.score = Echo(), torch.nn.Identity()

    class Echo(torch.nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any, **named: Any) -> Any:
            answers = input_ids[:, PROMPT:].masked_fill(~attention_mask[:, PROMPT:], 1)
            scores_B = (answers % 2 == 0).float().mean(1)
            taking.count(answers=len(answers), tokens=float(attention_mask[:, PROMPT:].sum()))
            return argparse.Namespace(hidden_states=[scores_B[:, None, None].expand(*input_ids.shape, 1)])

    taking = Turns(1, warm_up=1)
    place = str(arguments.folder / "model")
    open_as = {"dtype": torch.float32, "attn_implementation": "sdpa", "pad_token_id": PAD}
    policy, reference = (AutoModelForCausalLM.from_pretrained(place, **open_as) for _ in range(2))
    value = AutoModelForSequenceClassification.from_pretrained(place, num_labels=1, **open_as)
    config = PPOConfig(
        output_dir=str(arguments.folder / "trl"), use_cpu=True, bf16=False, report_to=[], learning_rate=RATE,
        per_device_train_batch_size=BATCH, gradient_accumulation_steps=ANSWERS // BATCH, num_mini_batches=1,
        num_ppo_epochs=EPOCHS, total_episodes=ANSWERS * 100_000, response_length=ANSWER, temperature=1.0,
        local_rollout_forward_batch_size=ANSWERS, stop_token="eos", num_sample_generations=0,
        gradient_checkpointing=False, save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    data = datasets.Dataset.from_list([{"input_ids": ids} for ids in prompts])
    PPOTrainer(
        args=config, processing_class=tokenizer(), model=policy, ref_model=reference, reward_model=Judge(),
        value_model=value, train_dataset=data, eval_dataset=data, callbacks=[Steps()],
    ).train()  # fmt: skip


def tokenizer() -> Any:
    """A tokenizer that has the special tokens; nothing is encoded with it."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"<end>": END, "<pad>": PAD} | {f"w{number}": number for number in range(2, SHAPE["vocab_size"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>", pad_token="<pad>")


if __name__ == "__main__":
    main()
