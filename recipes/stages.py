"""SmolLM2, or another chat model, before and after each stage of tuning, on questions that no stage has seen.

    python recipes/stages.py [MODEL] --instructions alpaca_style.json --pairs alpaca_style.pairs.json --out DIR
        [--tokens 60000] [--stages tuned dpo ppo]

Every eleventh instruction, chosen by its digest, is held out of all stages. Printed as a Markdown table, with
95 % bootstrap intervals over the held-out questions: nats a token of the reference answer (its end included),
the share of the model's own answers that end by themselves, ROUGE-L of those with the reference, and how
often the chosen answer of a pair is more probable than the rejected one, a token. Each stage is a low-rank
adapter on what the last one left, merged before the next; at most `--tokens` tokens are trained in each.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import shizuku
from shizuku.evaluation.bootstrap import Estimate, bootstrap, bootstrap_ratio
from shizuku.inference.scoring import Passage, score_passages
from shizuku.text.likeness import rouge_l
from shizuku.tuning.answers import prompt_of, reference_of
from shizuku.tuning.conversations import read_conversations
from shizuku.tuning.examples import Conversation, Example
from shizuku.tuning.rendering import encode_examples

EACH = 11
ANSWER_TOKENS = 96


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


def measure(model: Path | str, instructions: Path, pairs: Path) -> Measures:
    """Ask a model the held-out questions, and what it thinks of others' answers."""
    lm = shizuku.load(model)
    asked = read_conversations([instructions]).items
    references = _scores(lm, asked)
    answers = [lm.respond(prompt_of(one), max_new_tokens=ANSWER_TOKENS, temperature=0.0) for one in asked]
    given = [reference_of(one) for one in asked]
    records = json.loads(pairs.read_text(encoding="utf-8"))
    sides = [
        [_answered(record, record[side]) for record in records if record["chosen"] != record["rejected"]]
        for side in ("chosen", "rejected")
    ]
    chosen, rejected = (np.array([logprobs.mean() for logprobs in _scores(lm, side)]) for side in sides)
    return Measures(
        nats=bootstrap_ratio([-one.sum() for one in references], [len(one) for one in references]),
        stops=bootstrap([float(one.finish == "stop") for one in answers]),
        rouge=bootstrap([rouge_l(one.content, text) for one, text in zip(answers, given, strict=True)]),
        prefers=bootstrap((chosen > rejected).astype(float)),
    )


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
