"""lm-evaluation-harness as it is, on small local tasks, against a server and the model in process."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from shizuku.inference.scoring import Passage, score_passages
from shizuku.language_model import LanguageModel

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

from lm_eval import simple_evaluate
from lm_eval import utils as harness_utils
from lm_eval.api.model import TemplateLM
from lm_eval.tasks import TaskManager

TASKS = ("small_choice", "small_rolling", "small_words")
ROWS = [
    {"text": "The cat sat on the", "choices": [" mat.", " lake.", " bakery by the sea."], "label": 0},
    {"text": "A boat went over the", "choices": [" cat.", " lake in the evening.", " mat."], "label": 1},
    {"text": "町のパン屋は", "choices": ["七時に開きます。", "雨が降っています。", "猫です。"], "label": 0},
    {"text": "In the town by the sea the baker", "choices": [" opens his shop", " sat", ""], "label": 0},
]
ROWS[3]["choices"][2] = " rain"
LONG = "The cat sat on the mat and looked at the rain. A boat went over the lake in the evening. " * 4
CONFIGS = {
    "small_choice": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{label}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "small_rolling": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{long}}",
        "metric_list": [{"metric": "bits_per_byte"}, {"metric": "word_perplexity"}],
    },
    "small_words": {
        "output_type": "generate_until",
        "doc_to_text": "{{text}}",
        "doc_to_target": "{{choices[label]}}",
        "generation_kwargs": {"until": ["q", "\n"], "max_gen_toks": 12, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    },
}


class InProcess(TemplateLM):
    """The model itself, as the harness asks it."""

    def __init__(self, lm: LanguageModel, *, longest: int) -> None:
        super().__init__()
        self._lm, self._longest = lm, longest

    @property
    def eot_token_id(self) -> int:
        return self._lm.tokenizer.eos_id

    @property
    def prefix_token_id(self) -> int:
        return self._lm.tokenizer.document_start_id

    def tok_encode(self, string: str, **settings: Any) -> list[int]:
        return self._lm.tokenizer.encode(string)

    def _loglikelihood_tokens(self, requests: Sequence[Any], **settings: Any) -> list[tuple[float, bool]]:
        passages = []
        for _, context, continuation in requests:
            ids = [*context, *continuation][-self._longest :]
            passages.append(Passage(ids, len(ids) - len(continuation)))
        return [
            (float(np.sum(one.logprobs_N, dtype=np.float64)), bool(one.greedy_N.all()))
            for one in score_passages(self._lm.engine, passages)
        ]

    def loglikelihood_rolling(self, requests: Sequence[Any], **settings: Any) -> list[float]:
        found = []
        for request in requests:
            windows = harness_utils.get_rolling_token_windows(
                self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self._longest - 1,
                context_len=1,
            )
            asked = [(None, *harness_utils.make_disjoint_window(window)) for window in windows]
            found.append(sum(logprob for logprob, _ in self._loglikelihood_tokens(asked)))
        return found

    def generate_until(self, requests: Sequence[Any], **settings: Any) -> list[str]:
        found = []
        for request in requests:
            context, asked = request.args
            ids = self._lm.tokenizer.encode(context)
            request_ids = self._lm.request(ids, max_new_tokens=asked["max_gen_toks"], temperature=0.0)
            made = [step.token_id for step in self._lm.engine.submit(request_ids) if step.finish != "stop"]
            text = self._lm.tokenizer.decode(made)
            found.append(text[: min((text.find(s) for s in asked["until"] if s in text), default=len(text))])
        return found


def write_tasks(folder: Path) -> None:
    """The tasks and their documents as files."""
    rows = [{**row, "long": LONG[: 60 * (n + 2)]} for n, row in enumerate(ROWS)]
    (folder / "rows.json").write_text("\n".join(json.dumps(row) for row in rows))
    for name, config in CONFIGS.items():
        files = {"test": str(folder / "rows.json")}
        whole = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": files},
            "test_split": "test",
            **config,
        }
        (folder / f"{name}.yaml").write_text(json.dumps(whole))  # JSON is YAML too


def evaluate(model: Any, folder: Path, **settings: Any) -> dict[str, Any]:
    """Scores of the tasks, and what was said to each of their requests."""
    # In a thread, because its client wants to run an event loop, and a browser's may run in this one.
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(
            simple_evaluate,
            model=model,
            tasks=list(TASKS),
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            log_samples=True,
            bootstrap_iters=0,
            **settings,
        ).result()
    answers = {
        name: [sample["resps"] for sample in sorted(samples, key=lambda sample: sample["doc_id"])]
        for name, samples in found["samples"].items()
    }
    return {"scores": found["results"], "answers": answers}
