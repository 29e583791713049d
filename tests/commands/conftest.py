"""A small model as the verbs find it on a disk."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint directory of ours, with a tokenizer and a run record."""
    from shizuku.checkpoints.directory import run_record, save_checkpoint
    from small_models import small_model, small_tokenizer

    return save_checkpoint(
        tmp_path_factory.mktemp("made") / "model",
        model=small_model(),
        tokenizer=small_tokenizer(),
        run=run_record(config={"steps": 3}, metrics={"loss": 1.5}),
    )


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a GGUF file with 8 bits a weight."""
    from shizuku.checkpoints.gguf import write_gguf
    from small_models import small_model, small_tokenizer

    path = tmp_path_factory.mktemp("made") / "small.gguf"
    model = small_model()
    write_gguf(path, model.config, model.state_dict(), small_tokenizer(), "q8_0")
    return path
