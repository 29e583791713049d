"""A life that goes on from a pretrained model: an adapter, the same pieces before and after, an interval."""

import json
from pathlib import Path
from typing import Any

import pytest

from shizuku.checkpoints.kinds import is_adapter
from shizuku.commands import life as verb
from shizuku.data.town import town_documents
from shizuku.errors import CheckpointError, ConfigError
from shizuku.life.adapting import pieces_of
from shizuku.life.settings import LifeConfig
from tiny_language_model import tiny_lm

TEXT = "The baker opens his shop at {} in the morning. Nobody in the town by the sea is up before {}.\n\n"


def documents(folder: Path) -> Path:
    folder.mkdir()
    texts = [document.text for document in town_documents(megabytes=0.06, seed=1)]
    for number in range(20):
        (folder / f"{number}.txt").write_text("\n\n".join(texts[number::20]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[LifeConfig, dict[str, Any]]:
    place = tmp_path_factory.mktemp("continued")
    tiny_lm().save(place / "base")
    config = LifeConfig(
        pretrained=str(place / "base"), text=(str(documents(place / "notes")),), minutes=0.2,
        out=place / "life", context=64,
    )  # fmt: skip
    return config, verb.run(config)


def test_held_out_documents_are_scored_before_and_after_with_intervals(
    lived: tuple[LifeConfig, dict[str, Any]],
) -> None:
    _, result = lived
    bits, ends = result["bits_per_byte"], result["intervals"]
    assert bits["model"] < bits["before"]
    for name in ("model", "before"):
        assert ends[name][0] <= bits[name] <= ends[name][1]
    assert ends["change"][0] <= bits["model"] - bits["before"] <= ends["change"][1] < 0
    assert 0 < result["trained_parameters"] < result["parameters"]


def test_both_scored_the_same_pieces_and_none_that_was_trained_on(
    lived: tuple[LifeConfig, dict[str, Any]],
) -> None:
    config, _ = lived
    stages = json.loads((config.out / "life.json").read_text(encoding="utf-8"))["stages"]
    before, after = (stages[name]["result"]["pieces"] for name in ("before", "after"))
    assert [one["piece"] for one in before] == [one["piece"] for one in after]
    assert [one["bytes"] for one in before] == [one["bytes"] for one in after]


def test_the_checkpoint_is_an_adapter_that_the_package_opens(
    lived: tuple[LifeConfig, dict[str, Any]],
) -> None:
    import shizuku

    config, result = lived
    assert is_adapter(Path(result["checkpoint"]))
    assert shizuku.load(result["checkpoint"]).generate("The baker", max_new_tokens=4) is not None
    page = (config.out / "report.html").read_text(encoding="utf-8")
    assert "bits per byte before" in page and "<script" not in page


def test_it_is_resumed_without_doing_anything_twice(lived: tuple[LifeConfig, dict[str, Any]]) -> None:
    import dataclasses

    config, result = lived
    again = verb.run(dataclasses.replace(config, resume=True))
    assert {**again, "seconds": 0} == {**result, "seconds": 0}


def test_a_model_that_is_not_there_and_an_adapter_without_rank_are_refused(tmp_path: Path) -> None:
    from shizuku.adapters.config import AdapterConfig

    text = (str(documents(tmp_path / "notes")),)
    with pytest.raises(CheckpointError):
        verb.run(LifeConfig(pretrained=str(tmp_path / "none"), text=text, out=tmp_path / "life"))
    with pytest.raises(ConfigError, match=r"--lora\.rank 0"):
        LifeConfig(pretrained="some", lora=AdapterConfig(rank=0))


def test_pieces_are_the_text_cut_between_paragraphs() -> None:
    text = "".join(TEXT.format(number, number) for number in range(50))
    pieces = pieces_of([text, "short"], 500)
    assert "".join(pieces) == text + "short"
    assert all(len(piece) <= 500 for piece in pieces) and all(p.endswith("\n\n") for p in pieces[:-2])
    assert "".join(pieces_of(["x" * 1200], 500)) == "x" * 1200
