"""A model that learns to call a calculator, from GSM8K's marks, and multiplies numbers that it never saw.

    python recipes/calculator.py gsm8k.train.jsonl --out DIR [--model smollm2-135m-instruct] [--tokens 6000]
        [--plain 30] [--questions 200] [--json]

GSM8K's marks become calls (`shizuku.tuning.calculator_marks`); the model is tuned on as many of the shorter
problems as `--tokens` holds, and then, a second stage, on `--plain` questions such as "What is 84-17?", of
other operations and smaller numbers. After each stage it is asked "What is 354*139?", for seeded pairs of
three-digit numbers, with the calculator in the loop; at the end, and before, without it. Right is an answer
with the tool whose last number is the product, and one without whose text has it anywhere. Killed, the same
command goes on.
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.adapters import load_adapted
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.evaluation.bootstrap import bootstrap
from shizuku.progress import bar, hushed, say
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.resume import has_state
from shizuku.tuning.calculator import CALCULATOR, calculate
from shizuku.tuning.calculator_marks import calculator_call, marked_conversations, with_calculator
from shizuku.tuning.config import TuneConfig, tuning_loop
from shizuku.tuning.examples import Conversation
from shizuku.tuning.rendering import encode_example
from shizuku.tuning.templates import template_text
from shizuku.tuning.tool_use import answer_with_tools
from shizuku.tuning.tune import tune

TEMPLATE = Path("chatml-tools")
AT_ONCE = 64
ANSWER_TOKENS = 64
PLAIN_FORMS = ("What is {}?", "Compute {}.", "How much is {}?", "{} = ?", "Please work out {}.")


@dataclass(frozen=True, slots=True)
class Answered:
    """One question's answer."""

    question: str
    product: int
    said: str
    """All that the model said."""
    expressions: list[str]
    """What it asked the calculator."""
    right: bool


def products(number: int, seed: int) -> list[tuple[int, int]]:
    """Distinct pairs of three-digit numbers."""
    random = np.random.Generator(np.random.Philox(seed))
    found: dict[tuple[int, int], None] = {(354, 139): None}
    while len(found) < number:
        first, second = random.integers(100, 1000, 2).tolist()
        found[first, second] = None
    return list(found)[:number]


def plain_question(random: np.random.Generator) -> dict[str, Any]:
    """A sum, a difference or a quotient of numbers of up to three digits, or a product of smaller ones."""
    operator = "+-/*"[int(random.integers(4))]
    first, second = (int(random.integers(2, 10 ** int(random.integers(1, 4)))) for _ in range(2))
    if operator == "*":
        second = int(random.integers(2, 100))
    if operator == "/":
        first *= second
    expression = f"{first}{operator}{second}"
    form = PLAIN_FORMS[int(random.integers(len(PLAIN_FORMS)))]
    turns = [{"role": "user", "content": form.format(expression)}, *calculator_call(expression)]
    result = {"role": "assistant", "content": f"{calculate(expression)} is the answer."}
    return with_calculator([*turns, result])


def chosen(
    records: Sequence[dict[str, Any]], tokenizer: Any, budget: int, longest: int
) -> list[dict[str, Any]]:
    """Problems of at most `longest` tokens, in a seeded order, as many as `budget` tokens hold."""
    kept, used = [], 0
    for number in np.random.Generator(np.random.Philox(0)).permutation(len(records)):
        record = records[number]
        size = len(encode_example(tokenizer, Conversation(record["messages"], record["tools"])).ids)
        if size > longest:
            continue
        if used + size > budget:
            break
        kept.append(record)
        used += size
    return kept


def conversations(given: argparse.Namespace, stage: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What a stage learns, and how much it is."""
    if stage == "plain":
        random = np.random.Generator(np.random.Philox(1))
        plain = [plain_question(random) for _ in range(given.plain)]
        return plain, {"questions": len(plain)}
    own = shizuku.load(given.model).tokenizer
    templates = {"default": template_text(TEMPLATE)}
    tokenizer = Tokenizer(own.backend, special=own.special, chat_templates=templates, settings=own.settings)
    problems = Problems()
    records = marked_conversations([given.data], problems=problems)
    marked = chosen(records, tokenizer, given.tokens, given.longest)
    return marked, {"problems": len(marked), "of": len(records), "skipped": dict(problems.counts)}


def learn(given: argparse.Namespace, stage: str, model: str | Path, out: Path) -> dict[str, Any]:
    """Write what a stage learns, tune on it, and say what both were."""
    records, counts = conversations(given, stage)
    seen = {number for one in records for number in numbers(json.dumps(one["messages"]))}
    pairs = products(given.questions, given.seed)
    assert not any(first * second in seen for first, second in pairs), "a product was learned"
    file = given.out / f"{stage}.jsonl"
    given.out.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    loop = tuning_loop()
    optimizer = replace(loop.optimizer, learning_rate=given.rate)
    trained = given.out / f"adapter-{stage}" if given.rank else out
    loop = replace(loop, optimizer=optimizer, resume=has_state(trained))
    result = tune(
        TuneConfig(
            model=str(model), data=(file,), out=trained, epochs=given.epochs, context=given.context,
            batch_size=1, validation=0.0, chat_template=TEMPLATE, samples=0, report=False,
            threads=given.threads, loop=loop,
            lora=AdapterConfig(rank=given.rank, targets=tuple(given.targets)),
        )
    )  # fmt: skip
    if given.rank:  # merged, so that the native engine runs it
        found = load_adapted(trained)
        save_checkpoint(out, model=found.model, tokenizer=found.tokenizer, run=found.run)
    told = result.to_json()
    return counts | {key: told[key] for key in ("tokens", "learned_tokens", "loss", "seconds")}


def ask(
    model: str | Path, pairs: Sequence[tuple[int, int]], kept: Path, *, tool: bool, threads: int | None
) -> list[Answered]:
    """The model's answers to plain questions about products; those that are in the file `kept` stay."""
    lm = shizuku.load(model, threads=threads)

    def one(pair: tuple[int, int]) -> Answered:
        question, product = f"What is {pair[0]}*{pair[1]}?", pair[0] * pair[1]
        turns = [{"role": "user", "content": question}]
        settings = {"max_new_tokens": ANSWER_TOKENS, "temperature": 0.0}
        if not tool:
            said = lm.respond(turns, **settings).content
            return Answered(question, product, said, [], product in numbers(said))
        answer = answer_with_tools(lm, turns, [CALCULATOR], limit=4, **settings)
        asked = [str(call["arguments"].get("expression")) for call in answer.calls]
        right = numbers(answer.content)[-1:] == [product]
        return Answered(question, product, answer.words, asked, right)

    lines = kept.read_text(encoding="utf-8").split("\n")[:-1] if kept.is_file() else []
    found = [Answered(**json.loads(line)) for line in lines]
    name = f"asking {'with' if tool else 'without'} the tool"
    pool = ThreadPoolExecutor(AT_ONCE)
    with bar(name, len(pairs), "question") as shown, kept.open("a", encoding="utf-8") as file:
        shown.advance(len(found))
        try:
            for answered in pool.map(one, pairs[len(found) :]):
                found.append(answered)
                file.write(json.dumps(asdict(answered), ensure_ascii=False) + "\n")
                file.flush()
                shown.advance()
        finally:
            pool.shutdown(cancel_futures=True)
    return found


def numbers(text: str) -> list[int]:
    """The whole numbers in a text, thousands' commas left out."""
    return [int(found) for found in re.findall(r"\d+", re.sub(r"(?<=\d),(?=\d{3})", "", text))]


def measured(answers: Sequence[Answered]) -> dict[str, Any]:
    """The share that is right with its interval, how many called, and the first few that are wrong."""
    share = bootstrap([float(one.right) for one in answers])
    wrong = [asdict(one) for one in answers if not one.right][:5]
    called = sum(bool(one.expressions) for one in answers) / len(answers)
    return {
        "right": share.mean, "low": share.low, "high": share.high, "questions": share.items,
        "called": called, "first": asdict(answers[0]), "wrong": wrong,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Tune, ask, and say what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--tokens", type=int, default=6_000, help="that go through the model in an epoch")
    parser.add_argument("--longest", type=int, default=320, help="tokens of a problem")
    parser.add_argument("--plain", type=int, default=30, help="plain questions after them; 0 for none")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--context", type=int, default=320)
    parser.add_argument("--rank", type=int, default=16, help="of an adapter; 0 tunes the whole model")
    parser.add_argument("--targets", nargs="+", default=["blocks.*"], help="layers of the adapter")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the questions")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    done = given.out / "measures.json"
    found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8")) if done.is_file() else {}
    with hushed(given.json):
        for name, step in steps(given).items():
            if name not in found:
                say(name)
                found[name] = step()
                done.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    if given.json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        show(found)
    return found


def steps(given: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """What is done, in its order, each under the name of its figures."""
    pairs = products(given.questions, given.seed)
    marks, plain = given.out / "tuned-marks", given.out / "tuned-plain"

    def asked(model: str | Path, *, tool: bool) -> dict[str, Any]:
        kept = given.out / f"answers-{Path(model).name}-{'tool' if tool else 'alone'}.jsonl"
        return measured(ask(model, pairs, kept, tool=tool, threads=given.threads))

    found: dict[str, Callable[[], dict[str, Any]]] = {
        "tuning, marks": lambda: learn(given, "marks", given.model, marks)
    }
    if given.plain:
        found["tuning, plain"] = lambda: learn(given, "plain", marks, plain)
        found["plain, with the tool"] = lambda: asked(plain, tool=True)
    last = plain if given.plain else marks
    return found | {
        "marks, with the tool": lambda: asked(marks, tool=True),
        "tuned, without": lambda: asked(last, tool=False),
        "base, without": lambda: asked(given.model, tool=False),
    }


def show(found: dict[str, Any]) -> None:
    """The figures as a table, and what was learned."""
    print("| three-digit products | right | 95 % interval | called |\n|---|---|---|---|")
    for name, one in found.items():
        if "right" in one:
            interval = f"{one['low']:.1%} to {one['high']:.1%}"
            print(f"| {name} | {one['right']:.1%} | {interval} | {one['called']:.0%} |")
    for name, one in found.items():
        if "right" not in one:
            print(f"\n{name}: {json.dumps(one)}")
    print(f"\n{json.dumps(found['marks, with the tool']['first'], ensure_ascii=False)}")


if __name__ == "__main__":
    main()
