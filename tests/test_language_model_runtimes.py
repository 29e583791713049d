"""What computes behind a `LanguageModel`: natively, in torch, with a draft, after a grammar."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import shizuku
from shizuku.errors import ConfigError, ShizukuError
from shizuku.inference.engine import EngineSettings
from shizuku.inference.speculation import DraftModel
from shizuku.language_model import LanguageModel
from tiny_language_model import tiny_lm

PROMPTS = ["The cat sat on the mat", "雨", "In the town by the sea the baker opens", "A", "A boat"]
TALK = [{"role": "user", "content": "Where is the cat?"}]


def test_a_packed_model_is_loaded_and_talks_without_torch(tmp_path: Path) -> None:
    if not native_is_built():
        pytest.skip("the native library is not built")
    tiny_lm().save(tmp_path / "model")
    program = (
        "import sys; from shizuku.cli import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    calls = (["generate", "--prompt", "The cat", "-n", "5", "--json"], ["chat", "-n", "5", "--json"])
    for verb, *flags in calls:
        done = subprocess.run(
            [sys.executable, "-c", program, verb, str(tmp_path / "model"), *flags],
            input="Hello\n", capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "tokens_per_second" in json.loads(done.stdout)


def native_is_built() -> bool:
    from shizuku.quantization.native.library import library_path

    return library_path().is_file()


def test_the_torch_module_of_a_native_model_is_built_when_asked_for(tmp_path: Path) -> None:
    if not native_is_built():
        pytest.skip("the native library is not built")
    lm = tiny_lm()
    lm.save(tmp_path / "model")
    native = shizuku.load(tmp_path / "model", runtime="native", threads=1)
    ids = lm.tokenizer.encode(PROMPTS[0])
    with torch.no_grad():
        wanted_TV = native.model(torch.tensor([ids]))[0].numpy()
    np.testing.assert_allclose(native.logits(ids), wanted_TV, atol=1e-4 * wanted_TV.std())
    assert native.model is native.model
    assert not hasattr(native.runtime, "model")
    native.save(tmp_path / "again")
    assert shizuku.load(tmp_path / "again", runtime="torch").generate("A", max_new_tokens=9) == lm.generate(
        "A", max_new_tokens=9
    )


def test_without_the_library_torch_computes_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shizuku.quantization.native import library

    lm = tiny_lm()
    lm.save(tmp_path / "model")
    library.load.cache_clear()
    monkeypatch.setattr(library, "library_path", lambda: tmp_path / "nothing.so")
    try:
        for _ in range(2):
            assert shizuku.load(tmp_path / "model").generate("A", max_new_tokens=9) == lm.generate(
                "A", max_new_tokens=9
            )
        err = capsys.readouterr().err.replace("\n", " ")
        assert err.count("the native library is not built") == 1
        assert "torch computes" in err
        with pytest.raises(ShizukuError, match="native library is not built"):
            shizuku.load(tmp_path / "model", runtime="native")
    finally:
        library.load.cache_clear()


def test_impossible_ways_to_compute_are_named(tmp_path: Path) -> None:
    tiny_lm().save(tmp_path / "model")
    with pytest.raises(ConfigError, match="--runtime fast: expected one of auto, native, torch"):
        shizuku.load(tmp_path / "model", runtime="fast")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--cache f8: expected one of auto, f32, f16, int8"):
        shizuku.load(tmp_path / "model", cache="f8")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"--cache int8: torch computes here.*leave --cache out"):
        shizuku.load(tmp_path / "model", runtime="torch", cache="int8")
    with pytest.raises(ConfigError, match="--draft: say how many tokens to guess"):
        shizuku.load(tmp_path / "model", draft=tmp_path / "model")


def test_a_draft_model_changes_the_speed_and_not_the_text(tmp_path: Path) -> None:
    lm = tiny_lm()
    lm.save(tmp_path / "model")
    guessing = shizuku.load(
        tmp_path / "model", draft=tmp_path / "model", engine=EngineSettings(speculative_tokens=4)
    )
    asked = {"max_new_tokens": 30, "temperature": 0.9, "seed": 3}
    assert guessing.generate(PROMPTS[0], **asked) == lm.generate(PROMPTS[0], **asked)
    now = guessing.engine.statistics()
    assert now.right_guesses == now.guessed_tokens > 10


def test_a_conversation_that_goes_on_reads_only_what_is_new() -> None:
    lm = tiny_lm()
    talk = [*TALK]
    lm.chat(talk, max_new_tokens=8)
    before = lm.engine.statistics()
    talk += [{"role": "assistant", "content": "On the mat."}, {"role": "user", "content": "Why?"}]
    lm.chat(talk, max_new_tokens=8)
    now, shared = lm.engine.statistics(), len(lm.tokenizer.encode_chat(TALK))
    assert now.reused_tokens >= shared - 1
    assert now.prompt_tokens - before.prompt_tokens <= len(lm.tokenizer.encode_chat(talk)) - shared + 1


def test_a_request_of_the_servers_is_what_generate_asks_for() -> None:
    lm = tiny_lm()
    ids = lm.prompt_ids(PROMPTS[0])
    request = lm.request(ids, max_new_tokens=12, temperature=1.0, seed=4, logprobs=2, client="somebody")
    steps = list(lm.engine.submit(request))
    kept = [step.token_id for step in steps if step.finish != "stop"]
    text = lm.generate(PROMPTS[0], max_new_tokens=12, temperature=1.0, seed=4)
    assert lm.tokenizer.decode(kept).rstrip("\ufffd") == text.rstrip("\ufffd")
    assert all(len(step.top) == 2 for step in steps)
    with pytest.raises(ConfigError, match="unknown setting max_tokens"):
        lm.request(ids, max_tokens=3)


def test_a_text_follows_a_schema_or_a_regular_expression() -> None:
    lm = tiny_lm()
    schema = {
        "type": "object",
        "properties": {"on": {"type": "boolean"}},
        "required": ["on"],
        "additionalProperties": False,
    }
    for text in lm.generate(["The cat", "A dog"], schema=schema, max_new_tokens=24, temperature=1.0):
        assert set(json.loads(text)) == {"on"}
    assert re.fullmatch("(yes|no)", lm.generate("The cat", regex="(yes|no)", max_new_tokens=24))
    guessing = LanguageModel(
        lm.model, lm.tokenizer, engine=EngineSettings(speculative_tokens=4),
        guesser=DraftModel(tiny_lm().runtime, target=lm.runtime),
    )  # fmt: skip
    for _ in range(2):  # what ends a text ends its guesses, and nobody's engine
        assert re.fullmatch("(yes|no)", guessing.generate("The cat", regex="(yes|no)", max_new_tokens=24))
    with pytest.raises(ConfigError, match="both given"):
        lm.generate("The cat", schema=schema, regex="a")
    with pytest.raises(ConfigError, match="stop"):
        lm.generate("The cat", regex="a", stop="b")
