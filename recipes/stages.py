"""A chat model (SmolLM2) before and after each stage of tuning, on questions that no stage has seen.

    python recipes/stages.py [MODEL] --instructions alpaca_style.json --pairs alpaca_style.pairs.json
        --out DIR [--stages tuned dpo ppo] [--steps 40] [--rounds 8] [--questions N]

Every eleventh instruction, chosen by its digest, is held out of all stages. Printed as a Markdown table, with
95 % bootstrap intervals over the held-out questions: nats a token of the reference answer (its end included),
the share of the model's own answers that end by themselves, ROUGE-L of those with the reference, and how
often the chosen answer of a pair is more probable than the rejected one, a token. The stages: instruction
tuning, then from there DPO on preference pairs, and from there also PPO with a reward model of the same
pairs; each is a low-rank adapter, on less than 60,000 trained tokens. One seed. A stage that is in --out
already is taken from there.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import shizuku
from shizuku.cli import parse
from shizuku.evaluation.bootstrap import Estimate, bootstrap, bootstrap_ratio
from shizuku.inference.scoring import Passage, score_passages
from shizuku.text.likeness import rouge_l
from shizuku.tuning.align import align
from shizuku.tuning.align_config import AlignConfig
from shizuku.tuning.answers import AT_ONCE, prompt_of, reference_of
from shizuku.tuning.config import TuneConfig
from shizuku.tuning.conversations import read_conversations
from shizuku.tuning.examples import Conversation, Example
from shizuku.tuning.rendering import encode_examples
from shizuku.tuning.reward import train_reward
from shizuku.tuning.reward_config import RewardConfig
from shizuku.tuning.tune import tune

EACH = 11
ANSWER_TOKENS = 96
RANK = ("--lora.rank", "16")
ROWS = {"tuned": "tuned", "dpo": "tuned, then DPO", "ppo": "tuned, then PPO"}


@dataclass(frozen=True, slots=True)
class Measures:
    """What one model does on the held-out questions."""

    nats: Estimate
    """Of the reference answers, a token."""
    stops: Estimate
    """Share of the model's own answers that end by themselves."""
    rouge: Estimate
    """ROUGE-L of its own answers with the references."""
    prefers: Estimate
    """How often the chosen answer is more probable, a token, than the rejected one."""


def is_held_out(record: Mapping[str, Any]) -> bool:
    """Whether no stage may see this instruction, with any input or answer."""
    digest = hashlib.sha256(str(record["instruction"]).encode()).digest()
    return int.from_bytes(digest[:4], "big") % EACH == 0


def parted(file: Path, out: Path, name: str) -> tuple[Path, Path]:
    """The records of a JSON file for learning and the held-out ones, each in a file of its own."""
    records = json.loads(file.read_text(encoding="utf-8"))
    parts = [[one for one in records if is_held_out(one) == held] for held in (False, True)]
    paths = out / f"{name}.learned.json", out / f"{name}.heldout.json"
    out.mkdir(parents=True, exist_ok=True)
    for path, part in zip(paths, parts, strict=True):
        path.write_text(json.dumps(part, ensure_ascii=False), encoding="utf-8")
    return paths


def measure(model: Path | str, instructions: Path, pairs: Path, questions: int | None = None) -> Measures:
    """Ask a model the held-out questions, and what it thinks of others' answers."""
    lm = shizuku.load(model)
    asked = read_conversations([instructions]).items[:questions]
    references = _scores(lm, asked)

    def answer(one: Conversation) -> Any:
        return lm.respond(prompt_of(one), max_new_tokens=ANSWER_TOKENS, temperature=0.0)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(answer, asked))
    given = [reference_of(one) for one in asked]
    records = [
        one for one in json.loads(pairs.read_text(encoding="utf-8")) if one["chosen"] != one["rejected"]
    ]
    sides = [
        np.array([one.mean() for one in _scores(lm, [_answered(record, record[side]) for record in records])])
        for side in ("chosen", "rejected")
    ]
    return Measures(
        nats=bootstrap_ratio([-one.sum() for one in references], [len(one) for one in references]),
        stops=bootstrap([float(one.finish == "stop") for one in answers]),
        rouge=bootstrap([rouge_l(one.content, text) for one, text in zip(answers, given, strict=True)]),
        prefers=bootstrap((sides[0] > sides[1]).astype(float)),
    )


def stages(
    base: str, out: Path, instructions: Path, pairs: Path, *, wanted: Sequence[str], steps: int, rounds: int
) -> dict[str, Path | str]:
    """Train what is not in `out` yet; the model of each stage by the name of its row."""
    places = {name: out / name for name in ("tuned", "dpo", "reward", "ppo")}

    def flags(name: str, model: str | Path, data: Path, *more: str) -> list[str]:
        words = [str(model), "--data", str(data), "--out", str(places[name]), "--resume", *RANK]
        return [*words, "--no-report", *more]

    tuned = places["tuned"]
    if not _finished(tuned):
        how = ["--epochs", "1", "--samples", "0"]
        tune(parse(TuneConfig, "tune", flags("tuned", base, instructions, *how)))
    if "dpo" in wanted and not _finished(places["dpo"]):
        how = ["--method", "dpo", "--steps", str(steps), "--samples", "0"]
        align(parse(AlignConfig, "align", flags("dpo", tuned, pairs, *how)))
    if "ppo" in wanted and not _finished(places["reward"]):
        how = ["--steps", str(steps), "--validation", "0.02"]
        train_reward(parse(RewardConfig, "reward", flags("reward", base, pairs, *how)))
    if "ppo" in wanted and not _finished(places["ppo"]):
        how = ["--method", "ppo", "--reward", str(places["reward"]), "--ppo.rounds", str(rounds)]
        how += [
            "--ppo.answers",
            "16",
            "--ppo.minibatch",
            "8",
            "--ppo.epochs",
            "2",
            "--ppo.max-new-tokens",
            "48",
        ]
        align(parse(AlignConfig, "align", flags("ppo", tuned, pairs, *how, "--samples", "0")))
    return {"as it comes": base} | {ROWS[name]: places[name] for name in ROWS if name in wanted}


def main(arguments: Sequence[str] | None = None) -> dict[str, Measures]:
    """Run and print; returns the measures by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--instructions", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--steps", type=int, default=40, help="steps of 8 pairs for DPO and the reward model")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of 16 answers for PPO")
    parser.add_argument("--questions", type=int, default=None, help="held-out questions to ask; default: all")
    given = parser.parse_args(arguments)
    learned, asked = parted(given.instructions, given.out, "instructions")
    preferred, judged = parted(given.pairs, given.out, "pairs")
    made = stages(
        given.model,
        given.out,
        learned,
        preferred,
        wanted=given.stages,
        steps=given.steps,
        rounds=given.rounds,
    )
    rows = {name: measure(model, asked, judged, given.questions) for name, model in made.items()}
    print("| stage | nats a token | stops | ROUGE-L | prefers the chosen |\n|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row.nats} | {row.stops} | {row.rouge} | {row.prefers} |")
    plain = {name: asdict(row) for name, row in rows.items()}
    (given.out / "stages.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")
    return rows


def _finished(place: Path) -> bool:
    run = place / "run.json"
    metrics = json.loads(run.read_text(encoding="utf-8")).get("metrics", {}) if run.is_file() else {}
    return bool(metrics) and metrics.get("step") == metrics.get("steps")


def _answered(record: Mapping[str, Any], answer: str) -> Conversation:
    asked = "\n\n".join(part for part in (record["instruction"], record.get("input", "")) if part)
    return Conversation([{"role": "user", "content": asked}, {"role": "assistant", "content": answer}])


def _scores(lm: "shizuku.LanguageModel", conversations: Sequence[Conversation]) -> list[np.ndarray]:
    """Log-probabilities in nats of each answer's tokens, that which ends it included."""
    examples = [one for each in conversations for one in encode_examples(lm.tokenizer, each)]
    return [one.logprobs_N for one in score_passages(lm.engine, [_passage(one) for one in examples])]


def _passage(example: Example) -> Passage:
    first = example.learned.index(True)
    end = len(example.ids) - example.learned[::-1].index(True)
    assert all(example.learned[first:end]), "the conversations here have one answer"
    return Passage(example.ids[:end], first)


if __name__ == "__main__":
    main()
