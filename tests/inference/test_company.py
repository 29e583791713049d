"""The answer to a prompt does not depend on its company (demand C1): 300 prompts, 64 new tokens each.

With the native library to the last bit; with torch's products, which round differently for other shapes, a
token may differ only where the model's two best logits lie within 1e-4 of each other.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine_models import GREEDY, SAMPLED, asked, engine_on, micro, tokens, words

from shizuku.quantization.native import library


def run(*arguments: str) -> None:
    here = Path(__file__).resolve().parent
    paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(here / "company.py"), *arguments],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [("q8_0", "f16", "300"), ("f32", "f32", "60"), ("q8_0", "int8", "60")], ids="-".join
)
def test_native_answers_are_the_same_to_the_last_bit(kind: tuple[str, str, str]) -> None:
    if not library.library_path().is_file():
        pytest.skip(f"the native library is not built: {library.COMMAND}")
    run("native", *kind)


@pytest.mark.slow
def test_torch_answers_differ_only_where_the_best_two_are_tied() -> None:
    run("torch")


def test_the_index_and_the_seed_are_what_makes_sampled_answers_differ() -> None:
    engine = engine_on(micro())
    answers = [
        tokens(engine.submit(asked(words(9), 12, sampling=SAMPLED, index=index))) for index in (0, 1, 0)
    ]
    assert answers[0] == answers[2] != answers[1]
    assert tokens(engine.submit(asked(words(9), 12, sampling=GREEDY, index=5))) != answers[0]
