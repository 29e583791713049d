"""Unmodified lm-evaluation-harness: the server's scores are those of the model in process."""

from pathlib import Path
from typing import Any

import pytest
from live_server import running

from tiny_language_model import tiny_lm

WINDOW = 96


@pytest.mark.slow
def test_the_harness_gets_the_scores_of_the_model_in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache" / "datasets"))
    harness = pytest.importorskip("harness")
    harness.write_tasks(tmp_path)
    lm = tiny_lm()
    expected = harness.evaluate(harness.InProcess(lm, longest=WINDOW - 1), tmp_path)
    checkpoint = str(tiny_lm().save(tmp_path / "tiny"))
    with running({"tiny": tiny_lm()}) as live:
        settings: dict[str, Any] = {
            "model": "tiny",
            "base_url": live.url + "/v1/completions",
            "max_length": WINDOW,
            "num_concurrent": 2,
        }
        # With a tokenizer of its own, and with the server's: there the harness takes an id of 0 for none.
        own = {"tokenizer_backend": "huggingface", "tokenizer": checkpoint}
        for more in (own, {"custom_prefix_token_id": lm.tokenizer.bos_id}):
            found = harness.evaluate("local-completions", tmp_path, model_args={**settings, **more})
            same(found["answers"], expected["answers"])
            for task, scores in expected["scores"].items():
                for name, value in scores.items():
                    if isinstance(value, float):
                        assert found["scores"][task][name] == pytest.approx(value, rel=1e-5), (task, name)
    assert {tuple(answer[0][0])[1] for answer in expected["answers"]["small_choice"]} == {False}
    assert len({answer[0][0] for answer in expected["answers"]["small_words"]}) > 1


def same(found: Any, expected: Any) -> None:
    """The same answers to every request, numbers up to rounding."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5)
    else:
        assert found == expected
