"""The ARM kernels under an emulator, where a cross compiler and qemu-user are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from shizuku.quantization.native.sources import ENTRY

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
FLAGS = ("-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno", "-pthread", "-w", "-static")


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which(COMPILER) or not shutil.which(EMULATOR),
    reason="needs Debian's g++-aarch64-linux-gnu and qemu-user",
)
def test_arm_kernels_give_the_portable_products(tmp_path: Path) -> None:
    program, check = tmp_path / "check", Path(__file__).with_name("arm_check.cpp")
    subprocess.run([COMPILER, *FLAGS, str(ENTRY), str(check), "-o", str(program)], check=True)
    for processor, sets in (("max", "neon_dot neon portable"), ("cortex-a72", "neon portable")):
        done = subprocess.run([EMULATOR, "-cpu", processor, str(program)], capture_output=True, text=True)
        assert done.stdout.splitlines() == [sets] and done.returncode == 0, done.stdout
