"""Tuning on seed tasks alone against tuning on the seeds and what a model made of them (Wang et al. 2022).

    python recipes/self_instruct_comparison.py seed_tasks.jsonl --out DIR [--model smollm2-135m-instruct]
        [--tasks 300] [--requests N] [--tokens 60000] [--rank 16] [--json]

A seeded 25 of the seed tasks are held out; the generator never sees them, and made tasks that have ROUGE-L of
0.7 or more with one of them are left out. The model makes tasks from the other seeds
(`shizuku data self-instruct`); then it is tuned twice with an adapter, on the same number of tokens and from
the same start: on the seeds, and on the seeds and the made tasks together. Measured on the held-out tasks:
nats a token of the reference answers (the token that ends them included) and ROUGE-L of the model's own
greedy answers with them, with 95 % bootstrap intervals over tasks, paired where two models are compared.
Killed, the same command goes on.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.evaluation.bootstrap import bootstrap, bootstrap_ratio
from shizuku.inference.scoring import Passage, score_passages
from shizuku.language_model import LanguageModel
from shizuku.progress import hushed, say
from shizuku.text.likeness import Pool, most_alike, rouge_l
from shizuku.training.resume import has_state
from shizuku.tuning.config import ADAPTER_RATE, TuneConfig, tuning_loop
from shizuku.tuning.conversations import read_conversations
from shizuku.tuning.dataset import encode_conversations
from shizuku.tuning.rows import ExampleRows
from shizuku.tuning.self_instruct.journal import NAME
from shizuku.tuning.self_instruct.run import self_instruct
from shizuku.tuning.self_instruct.settings import SelfInstructConfig
from shizuku.tuning.self_instruct.tasks import Task, read_tasks
from shizuku.tuning.tune import tune

HELD_OUT, LIKENESS = 25, 0.7
AT_ONCE, ANSWER_TOKENS = 16, 96


def parted(seeds: Path, out: Path) -> tuple[list[Task], list[Task]]:
    """The seeds to learn from, also written to `out`/seeds.jsonl, and the held-out ones."""
    lines = [line for line in seeds.read_text(encoding="utf-8").split("\n") if line.strip()]
    order = np.random.Generator(np.random.Philox(0)).permutation(len(lines))
    held = set(order[:HELD_OUT].tolist())
    for name, chosen in (("seeds", False), ("heldout", True)):
        kept = [line for number, line in enumerate(lines) if (number in held) == chosen]
        (out / f"{name}.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return read_tasks(out / "seeds.jsonl"), read_tasks(out / "heldout.jsonl")


def make(given: argparse.Namespace) -> dict[str, Any]:
    """Let the model make tasks from the seeds; the figures of the run, whose most alike two are checked."""
    folder = given.out / "made"
    result = self_instruct(
        SelfInstructConfig(
            model=given.model, seeds=given.out / "seeds.jsonl", out=folder, tasks=given.tasks,
            requests=given.requests, threads=given.threads, resume=(folder / NAME).is_file(),
        )
    )  # fmt: skip
    made = read_tasks(folder / "tasks.jsonl")
    alike = most_alike([task.instruction for task in [*read_tasks(given.out / "seeds.jsonl"), *made]])
    kept_alike = most_alike([task.instruction for task in made])
    assert kept_alike < LIKENESS, f"two kept tasks have ROUGE-L {kept_alike:.3f}"
    names = ("tasks", "instances", "classification", "requests", "dropped", "dropped_instances", "seconds")
    return {name: result[name] for name in names} | {"most_alike": kept_alike, "with_seeds": alike}


def unlike(made: Sequence[Task], held: Sequence[Task]) -> list[Task]:
    """The made tasks that are not too much like a held-out one."""
    pool = Pool(task.instruction for task in held)
    return [task for task in made if pool.nearest(task.instruction).score < LIKENESS]


def learn(given: argparse.Namespace, arm: str, tasks: Sequence[Task]) -> dict[str, Any]:
    """Tune on the tasks until `--tokens` have gone through the model."""
    chats = [chat for task in tasks for chat in task.chats()]
    file, out = given.out / f"{arm}-chats.jsonl", given.out / arm
    file.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in chats), encoding="utf-8")
    encoded = encode_conversations(shizuku.load(given.model).tokenizer, read_conversations([file]).items)
    fitting = [one for one in encoded.examples if len(one.ids) <= given.context + 1]
    loop = tuning_loop()
    # What all conversations begin with goes through the model once a row.
    rows = ExampleRows(
        fitting, context=given.context, batch_size=given.batch_size, seed=loop.seed, share=True
    )
    epochs = given.tokens / rows.seen(rows.rows_until(1)).tokens
    optimizer = replace(loop.optimizer, learning_rate=given.rate)
    loop = replace(loop, optimizer=optimizer, resume=has_state(out))
    result = tune(
        TuneConfig(
            model=given.model, data=(file,), out=out, epochs=epochs, context=given.context, validation=0.0,
            batch_size=given.batch_size, samples=0, report=False, threads=given.threads,
            lora=AdapterConfig(rank=given.rank), loop=loop,
        )
    ).to_json()  # fmt: skip
    told = {key: result[key] for key in ("tokens", "learned_tokens", "loss", "seconds", "dropped")}
    return {"tasks": len(tasks), "conversations": len(fitting), "epochs": epochs, **told}


def judged(given: argparse.Namespace, model: str | Path, held: Sequence[Task]) -> dict[str, Any]:
    """What a model does on each held-out conversation: nats, tokens, ROUGE-L, whether it stops."""
    lm = shizuku.load(model) if Path(model).is_dir() else shizuku.load(model, runtime="torch")
    chats = [chat["messages"] for task in held for chat in task.chats()]
    nats, counts = nats_of(lm, chats)

    def answer(messages: list[dict[str, Any]]) -> tuple[str, bool]:
        said = lm.respond(messages[:-1], max_new_tokens=ANSWER_TOKENS, temperature=0.0)
        return said.content, said.finish == "stop"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(answer, chats))
    rouge = [rouge_l(said, chat[-1]["content"]) for (said, _), chat in zip(answers, chats, strict=True)]
    return {
        "nats": nats, "counts": counts, "rouge": rouge,
        "stopped": [float(stopped) for _, stopped in answers], "answers": [said for said, _ in answers],
    }  # fmt: skip


def nats_of(lm: LanguageModel, chats: Sequence[list[dict[str, Any]]]) -> tuple[list[float], list[int]]:
    """Nats of each answer, the token that ends it included, and how many tokens that are."""
    passages = []
    for messages in chats:
        before = lm.tokenizer.encode_chat(messages[:-1], add_generation_prompt=True)
        whole = lm.tokenizer.encode_chat(messages, add_generation_prompt=False)
        assert whole[: len(before)] == before, "the template writes prompts alike with and without answers"
        stop = next(n for n in range(len(whole) - 1, 0, -1) if whole[n] in lm.tokenizer.stop_ids)
        passages.append(Passage(whole[: stop + 1], len(before)))
    scores = [one.logprobs_N for one in score_passages(lm.engine, passages)]
    return [float(-one.sum()) for one in scores], [len(one) for one in scores]


def compared(found: dict[str, Any]) -> dict[str, Any]:
    """Each model's means, and what each differs by from the seeds alone, with intervals."""
    models = {name[7:]: one for name, one in found.items() if name.startswith("judged ")}
    table: dict[str, Any] = {}
    for name, one in models.items():
        table[name] = {
            "nats": asdict(bootstrap_ratio(one["nats"], one["counts"])),
            "rouge": asdict(bootstrap(one["rouge"])),
            "stopped": asdict(bootstrap(one["stopped"])),
        }
    seeds = models["seeds"]
    for name in models.keys() - {"seeds"}:
        other = models[name]
        nats = np.subtract(other["nats"], seeds["nats"])
        table[f"{name} minus seeds"] = {
            "nats": asdict(bootstrap_ratio(nats, seeds["counts"])),
            "rouge": asdict(bootstrap(np.subtract(other["rouge"], seeds["rouge"]))),
            "stopped": asdict(bootstrap(np.subtract(other["stopped"], seeds["stopped"]))),
        }
    return table


def steps(given: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """What is done, in its order."""
    seeds, held = parted(given.seeds, given.out)

    def both() -> list[Task]:
        return [*seeds, *unlike(read_tasks(given.out / "made" / "tasks.jsonl"), held)]

    return {
        "making": lambda: make(given),
        "tuning seeds": lambda: learn(given, "seeds", seeds),
        "tuning both": lambda: learn(given, "both", both()),
        "judged base": lambda: judged(given, given.model, held),
        "judged seeds": lambda: judged(given, given.out / "seeds", held),
        "judged both": lambda: judged(given, given.out / "both", held),
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Make, tune twice, measure and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--tasks", type=int, default=300, help="to make")
    parser.add_argument("--requests", type=int, default=None, help="to the model at most, for making them")
    parser.add_argument("--tokens", type=int, default=60_000, help="that each of the two is tuned on")
    parser.add_argument("--rank", type=int, default=16, help="of the adapter; 0 tunes the whole model")
    parser.add_argument("--rate", type=float, default=ADAPTER_RATE, help="learning rate")
    parser.add_argument("--context", type=int, default=256, help="tokens of a row; longer tasks are dropped")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    done = given.out / "measures.json"
    found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8")) if done.is_file() else {}
    with hushed(given.json):
        for name, step in steps(given).items():
            if name not in found:
                say(name)
                found[name] = step()
                done.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    told = {name: found[name] for name in ("making", "tuning seeds", "tuning both")} | compared(found)
    print(json.dumps(told, ensure_ascii=False)) if given.json else show(told)
    return told


def show(told: dict[str, Any]) -> None:
    """The figures as a table."""
    for name in ("making", "tuning seeds", "tuning both"):
        print(f"{name}: {json.dumps(told[name])}")
    print("\n| | nats a token | ROUGE-L | stops |\n|---|---|---|---|")
    for name, one in told.items():
        if "rouge" in one:
            cells = [
                f"{one[key]['mean']:.3f} ({one[key]['low']:.3f} to {one[key]['high']:.3f})"
                for key in ("nats", "rouge", "stopped")
            ]
            print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
