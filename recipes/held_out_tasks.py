"""Tasks that were never trained: what a small base model and the same model, tuned, make of them.

    python recipes/held_out_tasks.py --out tasks --seeds 0 1 2

A base is made by the first stages of a life (`shizuku life`, town text), or taken from the lives in --lives,
one a seed. It is tuned on templated tasks, in whole and with one adapter, and asked others. The tasks are

- lists of three digits: repeat them, or give the first, the second or the last, or turn them round;
- counting: the number after or before another below 100, or the next or previous three;
- which of two numbers is larger, and what one of two colours has.

A family is a task in one wording (`FRAMES`). Held out are

- operands: the numbers and the lists of training and of examination are disjoint;
- families: each task has one wording in which it is never trained, though other tasks are trained in it and
  the task is trained in other wordings;
- compositions: tasks that are never trained in any wording, and are two trained ones, one after another.

All three kinds are examined with held-out operands. Exact means the whole answer, character for character.
A batch has rows of tasks and rows of the base's text; general perplexity is that of held-out documents of
the base's text. An adapter leaves the rows of the vocabulary as they are, and the base has never seen the
marks of a conversation: with them the adapter begins rightly and does not stop. It gets a template of what
the base knows, line ends and the end of a document. Copying words that training never had was tried first,
and is not learned by so small a model in so few steps (docs/lab-notes.md).
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach
from shizuku.checkpoints.directory import load_checkpoint
from shizuku.data.mixing import MixedBatches
from shizuku.data.packing import PackedBatches
from shizuku.data.shards import ShardSet
from shizuku.data.town.randomness import Choices
from shizuku.data.town.stock import COLOURS
from shizuku.evaluation.perplexity import evaluate_text
from shizuku.language_model import LanguageModel
from shizuku.life.corpus import HELDOUT, documents_of, gather, prepare
from shizuku.life.curriculum import wording
from shizuku.life.making import BASE, SHARDS, choose_size, train_model, write_tokens
from shizuku.life.settings import LifeConfig
from shizuku.models.decoder import Decoder
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig, OptimizerConfig, ScheduleConfig
from shizuku.training.loop import train
from shizuku.training.objectives import NextToken
from shizuku.tuning.answers import answers_of
from shizuku.tuning.dataset import encode_conversations
from shizuku.tuning.examples import Conversation
from shizuku.tuning.rows import ExampleRows

FRAMES = (
    "{what}: {given}", "Give me {what}: {given}", "{given}. What is {what}?", "From {given}, say {what}.",
    "Read this: {given}. Now write {what}.", "I want {what} of this: {given}",
)  # fmt: skip
FROM_TEXT = (
    "{% for message in messages %}{{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '\\n' }}{% endfor %}"
)
"""A conversation in tokens that every base has learned."""
KINDS = ("operands", "families", "compositions")


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task's name in a question, and how its material becomes an answer."""

    what: str
    solve: Callable[[Choices, "Material"], tuple[str, str]]
    """Draws what is given, and the answer."""
    composed: bool = False
    """Never trained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What questions are made of: disjoint in training and examination."""

    numbers: Sequence[int]
    """Of 3 to 96."""
    lists: Sequence[tuple[int, int, int]]
    """Of digits."""


def _list(choose: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Callable[..., tuple[str, str]]:
    def solve(pick: Choices, material: Material) -> tuple[str, str]:
        digits = pick.of(material.lists)
        return _spaced(digits), _spaced(choose(digits))

    return solve


def _count(answer: Callable[[int], tuple[int, ...]]) -> Callable[..., tuple[str, str]]:
    def solve(pick: Choices, material: Material) -> tuple[str, str]:
        number = pick.of(material.numbers)
        return str(number), _spaced(answer(number))

    return solve


def _larger(pick: Choices, material: Material) -> tuple[str, str]:
    one, other = pick.some(material.numbers, 2)
    return f"{one} {other}", str(max(one, other))


def _holder(pick: Choices, material: Material) -> tuple[str, str]:
    """`red 4, blue 7, blue` is answered by 7."""
    one, other = pick.some(COLOURS, 2)
    first, second, _ = pick.of(material.lists)
    asked, answer = pick.of(((one, first), (other, second)))
    return f"{one} {first}, {other} {second}, {asked}", str(answer)


def _spaced(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


TASKS: dict[str, Task] = {
    "repeat": Task(what="all of it", solve=_list(lambda digits: digits)),
    "first": Task(what="the first", solve=_list(lambda digits: digits[:1])),
    "second": Task(what="the second", solve=_list(lambda digits: digits[1:2])),
    "last": Task(what="the last", solve=_list(lambda digits: digits[-1:])),
    "reverse": Task(what="the reverse", solve=_list(lambda digits: digits[::-1])),
    "after": Task(what="the number after", solve=_count(lambda n: (n + 1,))),
    "before": Task(what="the number before", solve=_count(lambda n: (n - 1,))),
    "next three": Task(what="the next three", solve=_count(lambda n: (n + 1, n + 2, n + 3))),
    "previous three": Task(what="the previous three", solve=_count(lambda n: (n - 1, n - 2, n - 3))),
    "larger": Task(what="the larger", solve=_larger),
    "has": Task(what="what this one has", solve=_holder),
    "first and last": Task(
        what="the first and the last", solve=_list(lambda digits: (digits[0], digits[-1])), composed=True
    ),
    "after the last": Task(
        what="the number after the last", solve=_list(lambda digits: (digits[-1] + 1,)), composed=True
    ),
    "after and before": Task(
        what="the number after and the number before", solve=_count(lambda n: (n + 1, n - 1)), composed=True
    ),
}  # fmt: skip


def held_out_frame(name: str, seed: int) -> int:
    """The wording in which a task is never trained."""
    order = Choices(seed, "frames").shuffled(range(len(FRAMES)))
    return order[list(TASKS).index(name) % len(FRAMES)]


def materials(seed: int) -> tuple[Material, Material]:
    """Seven tenths of the numbers and lists for training, three tenths for examination."""
    numbers = Choices(seed, "numbers").shuffled(range(3, 97))
    lists = Choices(seed, "lists").shuffled(
        [(a, b, c) for a in range(10) for b in range(10) for c in range(10)]
    )
    return Material(numbers=numbers[:65], lists=lists[:700]), Material(
        numbers=numbers[65:], lists=lists[700:]
    )


def question(pick: Choices, name: str, frame: int, material: Material) -> Conversation:
    """One question of a family with its answer."""
    given, answer = TASKS[name].solve(pick, material)
    asked = FRAMES[frame].format(what=TASKS[name].what, given=given)
    return Conversation(
        [
            {"role": "user", "content": asked[0].upper() + asked[1:]},
            {"role": "assistant", "content": answer},
        ],
        id=f"{name} / {frame}",
    )


def training(material: Material, seed: int, number: int) -> list[Conversation]:
    """Questions of the trained families."""
    pick = Choices(seed, "training")
    families = [
        (name, frame)
        for name, task in TASKS.items()
        for frame in range(len(FRAMES))
        if not task.composed and frame != held_out_frame(name, seed)
    ]
    return [question(pick, *pick.of(families), material) for _ in range(number)]


def examinations(material: Material, seed: int, each: int) -> dict[str, dict[str, list[Conversation]]]:
    """Kind -> task -> questions, all with held-out operands."""
    pick = Choices(seed, "examination")
    found: dict[str, dict[str, list[Conversation]]] = {kind: {} for kind in KINDS}
    for name, task in TASKS.items():
        held = held_out_frame(name, seed)
        frames = [frame for frame in range(len(FRAMES)) if frame != held]
        if task.composed:
            found["compositions"][name] = [
                question(pick, name, pick.below(len(FRAMES)), material) for _ in range(each)
            ]
        else:
            found["operands"][name] = [question(pick, name, pick.of(frames), material) for _ in range(each)]
            found["families"][name] = [question(pick, name, held, material) for _ in range(each)]
    return found


def examine(
    model: Decoder, tokenizer: Tokenizer, asked: dict[str, dict[str, list[Conversation]]]
) -> dict[str, Any]:
    """Shares of exact answers by kind and by family, and of answers that end by themselves."""
    every = [one for tasks in asked.values() for part in tasks.values() for one in part]
    given = answers_of(model, tokenizer, every, max_new_tokens=24)
    right = iter(a.text == one.messages[-1]["content"] for a, one in zip(given, every, strict=True))
    families = {
        kind: {name: statistics.mean(next(right) for _ in part) for name, part in tasks.items()}
        for kind, tasks in asked.items()
    }
    return {
        **{kind: statistics.mean(tasks.values()) for kind, tasks in families.items()},
        "stops": statistics.mean(answer.stopped for answer in given),
        "families_apart": families,
    }


def make_base(out: Path, seed: int, minutes: float) -> Path:
    """The base of a life: its first stages, and nothing of the rest."""
    config = LifeConfig(out=out, seed=seed, minutes=minutes)
    if not (out / BASE / "config.json").is_file():
        gathered = gather(config, out / "data")
        prepare(config.text, out / "data", heldout_bytes=int(config.heldout_megabytes * 1e6), seed=seed)
        tokens = write_tokens(out, config.vocab_size, list(wording(config, gathered["days"])))
        train_model(config, choose_size(config, tokens, seconds=60 * minutes))
    return out


def tune(
    life: Path, out: Path, given: argparse.Namespace, seed: int, lora: AdapterConfig | None
) -> dict[str, Any]:
    """Tune a base, in whole or by an adapter, and examine it before and after."""
    found = load_checkpoint(life / BASE)
    model, tokenizer = found.model, found.tokenizer
    assert tokenizer is not None, "a life saves its base with a tokenizer"
    if lora is not None:
        tokenizer = Tokenizer(
            tokenizer.backend, special=tokenizer.special, chat_templates={"default": FROM_TEXT},
            settings=tokenizer.settings,
        )  # fmt: skip
    taught, held = materials(seed)
    asked = examinations(held, seed, given.questions)
    texts = list(documents_of(life / "data" / HELDOUT))[:: given.every]
    context = model.config.context
    before = {"perplexity": evaluate_text(LanguageModel(model, tokenizer), texts, window=context).perplexity}
    before |= examine(model, tokenizer, asked)
    if lora is not None:
        attach(model, lora, seed=seed)
    examples = encode_conversations(tokenizer, training(taught, seed, given.examples)).examples
    shards = ShardSet.open(life / SHARDS / "train", tokenizer=tokenizer, verify=False)
    source = MixedBatches(
        [
            ExampleRows(examples, context=context, batch_size=given.rows, seed=seed),
            PackedBatches(shards, context=context, batch_size=given.text_rows, seed=seed),
        ]
    )
    way = (given.adapter_optimizer, given.adapter_rate) if lora is not None else ("muon", 0.004)
    optimizer = OptimizerConfig(
        kind=way[0], learning_rate=way[1], embedding_learning_rate=given.rate,
        muon_learning_rate=given.adapter_rate if lora is not None else given.rate,
        weight_decay=0.0 if lora is not None else 0.1,
    )  # fmt: skip
    steps = max(round(given.tokens / ((given.rows + given.text_rows) * context)), 1)
    loop = LoopConfig(steps=steps, seed=seed, optimizer=optimizer, schedule=ScheduleConfig(), resume=True)
    result = train(model, NextToken(), source, loop, out=out, tokenizer=tokenizer)
    after = {"perplexity": evaluate_text(LanguageModel(model, tokenizer), texts, window=context).perplexity}
    after |= examine(model, tokenizer, asked)
    return {"before": before, "after": after, "seconds": result.seconds, "tokens": result.tokens_seen}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The recipe's flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("tasks"))
    parser.add_argument("--lives", type=Path, nargs="+", help="lives that are there, one a seed")
    parser.add_argument("--minutes", type=float, default=3.0, help="for the training of a base")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=("whole", "adapter"), default=["whole", "adapter"])
    parser.add_argument("--examples", type=int, default=12_000)
    parser.add_argument("--tokens", type=float, default=2e6)
    parser.add_argument("--rows", type=int, default=3, help="of conversations in a batch")
    parser.add_argument("--text-rows", type=int, default=2, help="of text in a batch")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0.015, help="of the embeddings and of Muon")
    parser.add_argument("--adapter-rate", type=float, default=0.005)
    parser.add_argument("--adapter-optimizer", choices=("adamw", "muon"), default="adamw")
    parser.add_argument("--questions", type=int, default=40, help="of each family")
    parser.add_argument("--every", type=int, default=20, help="score every n-th held-out document")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Run all seeds, print a Markdown table, and return its rows."""
    given = parse(arguments)
    rows = []
    print("| seed | tuned | model | operands | families | compositions | stop | perplexity |\n|" + "---|" * 8)
    for number, seed in enumerate(given.seeds):
        if given.lives:
            life = given.lives[number % len(given.lives)]
        else:
            life = make_base(given.out / f"life-{seed}", seed, given.minutes)
        for way in given.ways:
            lora = AdapterConfig(rank=given.rank) if way == "adapter" else None
            found = tune(life, given.out / f"{way}-{seed}", given, seed, lora)
            rows.append({"seed": seed, "way": way, **found})
            for when in ("before", "after"):
                one = found[when]
                cells = [f"{one[kind]:.1%}" for kind in (*KINDS, "stops")]
                print(
                    f"| {seed} | {way} | {when} | {' | '.join(cells)} | {one['perplexity']:.2f} |", flush=True
                )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    for kind in KINDS:
        print(f"\n{kind}, after, by task (mean over seeds):")
        for way in given.ways:
            some = [row["after"]["families_apart"][kind] for row in rows if row["way"] == way]
            means = {name: statistics.mean(one[name] for one in some) for name in some[0]}
            print(f"  {way}: " + ", ".join(f"{name} {share:.0%}" for name, share in means.items()))
    return rows


if __name__ == "__main__":
    main()
