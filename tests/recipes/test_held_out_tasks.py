"""The recipe of held-out tasks: what is held out is never trained, answers are right, and it runs."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from shizuku.checkpoints.directory import save_checkpoint
from shizuku.data.town import town_documents
from shizuku.data.town.randomness import Choices
from shizuku.life.corpus import HELDOUT, TRAIN
from shizuku.life.making import BASE, write_tokens
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.text.documents import Document, write_documents
from shizuku.text.tokenizer import Tokenizer


@cache
def recipe() -> ModuleType:
    path = Path(__file__).parents[2] / "recipes" / "held_out_tasks.py"
    spec = importlib.util.spec_from_file_location("held_out_tasks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["held_out_tasks"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe needs of a life: a base that knows nothing, its shards and its held-out text."""
    out = tmp_path_factory.mktemp("life")
    parts: dict[bool, list[Document]] = {True: [], False: []}
    for document in town_documents(megabytes=0.2):
        parts[document.split == "train"].append(
            Document(id=document.id, text=document.text, source=document.source)
        )
    (out / "data").mkdir()
    write_documents(parts[True], out / "data" / TRAIN)
    write_documents(parts[False], out / "data" / HELDOUT)
    write_tokens(out, 600)
    tokenizer = Tokenizer.load(out / "tokenizer")
    model = Decoder(
        DecoderConfig(vocab_size=tokenizer.vocab_size, context=96, width=32, layers=2, heads=2, ffn_width=64)
    )
    initialise(model, 0)
    save_checkpoint(out / BASE, model=model, tokenizer=tokenizer)
    return out


def test_operands_families_and_compositions_are_held_out() -> None:
    tasks = recipe()
    taught, held = tasks.materials(0)
    assert not set(taught.numbers) & set(held.numbers) and not set(taught.lists) & set(held.lists)
    assert len(held.numbers) == 29 and len(held.lists) == 300
    trained = {one.id for one in tasks.training(taught, 0, 3000)}
    asked = tasks.examinations(held, 0, 3)
    ids = {kind: {one.id for part in of.values() for one in part} for kind, of in asked.items()}
    assert ids["operands"] <= trained
    assert not ids["families"] & trained
    names = {name.split(" / ")[0] for name in trained}
    assert not names & set(asked["compositions"])
    # Each held-out family's task is trained in other wordings, and its wording with other tasks.
    for family in ids["families"]:
        name, frame = family.split(" / ")
        assert name in names and any(one.endswith(f" / {frame}") for one in trained)


@pytest.mark.parametrize(
    ("name", "given", "answer"),
    [
        ("repeat", "4 7 1", "4 7 1"), ("first", "4 7 1", "4"), ("second", "4 7 1", "7"),
        ("last", "4 7 1", "1"),
        ("reverse", "4 7 1", "1 7 4"),
        ("first and last", "4 7 1", "4 1"), ("after the last", "4 7 1", "2"),
        ("after", "39", "40"), ("before", "39", "38"), ("next three", "39", "40 41 42"),
        ("previous three", "39", "38 37 36"), ("after and before", "39", "40 38"),
    ],
)  # fmt: skip
def test_tasks_are_solved(name: str, given: str, answer: str) -> None:
    tasks = recipe()
    material = tasks.Material(numbers=[39], lists=[(4, 7, 1)])
    assert tasks.TASKS[name].solve(Choices(0), material) == (given, answer)


def test_the_larger_of_two_and_what_a_colour_has() -> None:
    tasks = recipe()
    material = tasks.Material(numbers=[39, 5, 60], lists=[(4, 7, 1)])
    for seed in range(20):
        given, answer = tasks.TASKS["larger"].solve(Choices(seed), material)
        assert int(answer) == max(map(int, given.split()))
        given, answer = tasks.TASKS["has"].solve(Choices(seed), material)
        one, other, asked = given.split(", ")
        assert f"{asked} {answer}" in (one, other)


def test_it_runs_and_reports_each_kind_before_and_after(
    life: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--out", str(tmp_path), "--lives", str(life), "--seeds", "0", "--every", "200"]
    size = ["--examples", "60", "--tokens", "5000", "--rows", "3", "--questions", "2"]
    rows = recipe().main([*where, *size])
    assert [row["way"] for row in rows] == ["whole", "adapter"]
    for row in rows:
        assert row["before"]["operands"] <= 0.05
        assert row["after"]["perplexity"] < row["before"]["perplexity"]
        assert set(row["after"]["families_apart"]) == {"operands", "families", "compositions"}
    assert "| 0 | adapter | after |" in capsys.readouterr().out
    assert (tmp_path / "results.json").is_file()
