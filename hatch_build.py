"""Builds the native library: as hatchling's hook, and by `python hatch_build.py` in a checkout.

One translation unit, no `-march=native`: kernels are compiled for every instruction set of the architecture
and chosen at run time, so a wheel runs on any machine of its platform. Without a compiler it is pure.
`CXX` names the compiler; `SHIZUKU_NATIVE=0` leaves the library out, 1 makes a failure an error.
"""

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent
FLAGS = (
    "-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno",
    "-pthread", "-w",
)  # fmt: skip


def _sources() -> ModuleType:
    place = ROOT / "src" / "shizuku" / "quantization" / "native" / "sources.py"
    spec = importlib.util.spec_from_file_location("shizuku_native_sources", place)
    assert spec is not None and spec.loader is not None, f"{place} is missing"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiler() -> list[str] | None:
    """Return the command of a C++ compiler, or None."""
    if os.environ.get("CXX"):
        return shlex.split(os.environ["CXX"])
    names = ("c++", "g++", "clang++")
    return next(([found] for name in names if (found := shutil.which(name))), None)


def build() -> Path | None:
    """Compile the library into the source tree; None without a compiler, or where it cannot."""
    wish = os.environ.get("SHIZUKU_NATIVE", "")
    if wish == "0":
        return None
    command, sources = compiler(), _sources()
    if command is None:
        if wish == "1":
            raise RuntimeError("SHIZUKU_NATIVE=1, but there is no C++ compiler: install one or set CXX")
        return None
    target: Path = sources.library_path()
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    extra = shlex.split(os.environ.get("SHIZUKU_CXXFLAGS", ""))
    defined = f'-DSHIZUKU_SOURCES="{sources.sources_digest()}"'
    try:
        subprocess.run(
            [*command, *FLAGS, *extra, defined, str(sources.ENTRY), "-o", str(fresh)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        # In one step, so that no process ever sees half a library; one that runs keeps the old file.
        fresh.replace(target)
    except subprocess.CalledProcessError as error:
        fresh.unlink(missing_ok=True)
        if wish == "1":
            raise RuntimeError(f"the native library did not compile:\n{error.stderr}") from error
        print(
            f"shizuku: the native library did not compile, going on without it:\n{error.stderr}",
            file=sys.stderr,
        )
        target.unlink(missing_ok=True)
        return None
    return target


def platform_tag() -> str:
    """Return the tag of wheels for this machine."""
    if sys.platform == "darwin" and "MACOSX_DEPLOYMENT_TARGET" not in os.environ:
        release = ".".join((*platform.mac_ver()[0].split("."), "0")[:2])
        return f"macosx_{release.replace('.', '_')}_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # `python hatch_build.py` needs no hatchling
    pass
else:

    class NativeBuildHook(BuildHookInterface):
        """Puts the library into wheels, and beside the sources of editable installs."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Build, and tag the wheel for this platform if there is a library to carry."""
            if self.target_name != "wheel":
                return
            made = build()
            if made is None:
                return
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform_tag()}"
            inside = f"shizuku/quantization/native/{made.name}"
            if version != "editable":
                build_data["force_include"][str(made)] = inside


if __name__ == "__main__":
    print(build() or "there is no C++ compiler here: install one (Debian: apt-get install g++) or set CXX")
