"""The package as a whole: a bare install imports every module, and nothing heavy is imported early."""

import errno
import subprocess
import sys
import time

import pytest

from shizuku import cli

BLOCK_EXTRAS = """
import importlib, pkgutil, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"matplotlib", "tensorboard", "huggingface_hub", "transformers", "pytest"}:
            raise ImportError(f"{name} is not in a bare install")
sys.meta_path.insert(0, Block())
import shizuku
for module in pkgutil.walk_packages(shizuku.__path__, "shizuku."):
    if module.name != "shizuku.__main__":
        importlib.import_module(module.name)
print(sum(name.startswith("shizuku.") for name in sys.modules))
"""


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_a_bare_install_imports_every_module() -> None:
    assert int(python(BLOCK_EXTRAS)) > 100


@pytest.mark.parametrize(
    "module",
    [
        *("shizuku", "shizuku.cli", "shizuku.text.documents", "shizuku.data.packing", "shizuku.report.page"),
        *("shizuku.checkpoints.names", "shizuku.checkpoints.packed", "shizuku.checkpoints.contents"),
    ],
)
def test_torch_is_not_imported_before_a_model_is_needed(module: str) -> None:
    assert python(f"import {module}, sys; print('torch' in sys.modules)").strip() == "False"


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        printed = subprocess.run(
            [sys.executable, "-m", "shizuku", "--help"], check=True, capture_output=True, text=True
        )
        seconds.append(time.perf_counter() - start)
    assert "shizuku VERB" in printed.stdout
    assert min(seconds) < 0.5, f"`shizuku --help` took {min(seconds):.2f} s"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "did you mean train?"),
        (["tokenizer"], "say which: tokenizer train"),
        (["tokenizer", "tarin"], "say which: tokenizer train"),
    ],
)
def test_an_unknown_verb_is_met_with_the_nearest(arguments: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "shizuku", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (FileExistsError(errno.EEXIST, "", "place"), 2, "File exists (place). Give a place"),
        (OSError(errno.ENOSPC, ""), 2, "No space left on device (here). Give a place"),
        (OSError(errno.EIO, ""), 1, "this is a defect in Shizuku"),
    ],
)
def test_what_the_disk_refuses_names_a_place_and_all_else_is_a_defect(
    error: OSError,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("shizuku.commands.merge.run", fail)
    assert cli.run(["merge", "adapter", "--out", "here"]) == code
    assert message in capsys.readouterr().err
