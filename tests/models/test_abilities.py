"""What a model can be asked for is said by its config, and opening one imports no compiler."""

import subprocess
import sys

import pytest

from shizuku.errors import ConfigError, ModelError
from shizuku.inference.beams import MOST_BEAMS, BeamSettings
from shizuku.inference.opening import runtime_of
from shizuku.models.architectures import abilities_of, architecture, names, require
from shizuku.models.encoder_config import EncoderConfig

SHAPE = {"vocab_size": 20, "context": 8, "width": 8, "layers": 1, "heads": 2, "ffn_width": 8}


def test_an_encoder_without_a_mask_head_does_not_promise_to_fill_in() -> None:
    bare = EncoderConfig(**SHAPE, mask_head=False)
    assert {"fill", "score"} <= {*abilities_of(EncoderConfig(**SHAPE))} - {*abilities_of(bare)}
    with pytest.raises(ModelError, match=r"cannot judge answers \(shizuku reward\)") as error:
        require(bare, "judge")
    assert "shizuku classify" in str(error.value) and "masked" not in str(error.value)


def test_a_translator_is_refused_where_a_text_is_read_with_what_measures_it() -> None:
    translator = architecture("encoder-decoder")
    shape = {"vocab_size": 20, **translator.presets["micro"]}
    with pytest.raises(ModelError, match=r"go through a text by itself.*eval --source --target"):
        runtime_of(translator.model(translator.config(**shape)))


def test_so_many_beams_that_nobody_waits_for_are_refused() -> None:
    assert BeamSettings(beams=MOST_BEAMS).beams == MOST_BEAMS
    with pytest.raises(ConfigError, match=f"--beams {MOST_BEAMS + 1}: expected"):
        BeamSettings(beams=MOST_BEAMS + 1)


def test_no_model_without_memory_imports_the_compiler() -> None:
    program = f"""
import sys, torch
from shizuku.models.architectures import architecture
for name in {tuple(name for name in names() if name not in ("ngram",))!r}:
    found = architecture(name)
    values = {{"vocab_size": 64, **next(iter(found.presets.values()), {SHAPE!r})}}
    with torch.device("meta"):
        found.model(found.config(**values))
    assert "torch._inductor" not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", program], check=True)
