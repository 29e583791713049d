"""SmolLM2 as it is carried: run natively from the command line without torch, and in little memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "import sys; from shizuku import cli\n"
    "try: cli.main(sys.argv[1:])\n"
    "except SystemExit as end: assert not end.code, end.code\n"
    "print('torch' in sys.modules, file=sys.stderr)"
)


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    """What a Python process prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, env=environment
    )


@pytest.mark.slow
def test_it_writes_without_torch(smollm2_gguf: Path) -> None:
    flags = ("--prompt", "The capital of France is", "-n", "12", "--temp", "0", "--runtime", "native")
    done = run("-c", CODE, "generate", str(smollm2_gguf), *flags)
    assert "Paris" in done.stdout
    assert done.stderr.splitlines()[-1] == "False"


@pytest.mark.slow
def test_it_takes_little_more_memory_than_its_weights(smollm2_gguf: Path) -> None:
    done = run(str(ROOT / "benchmarks" / "memory.py"), str(smollm2_gguf))
    assert 0.9 < float(done.stdout.rsplit("ratio ", 1)[1]) <= 1.3, done.stdout
