"""The native library is built from the sources beside it, and says so when it is not."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from shizuku.errors import ConfigError, NativeLibraryError
from shizuku.quantization.native import library, sources

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fresh_load() -> None:
    """A load that looks again, before and after."""
    library.load.cache_clear()
    yield
    library.load.cache_clear()


def test_sets_are_named_best_first_and_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    names = library.instruction_sets()
    assert names[-1] == "portable" and library.chosen_set(None) == names[0]
    assert library.chosen_set("portable") == "portable"
    monkeypatch.setenv(library.SET_VARIABLE, "portable")
    assert library.chosen_set(None) == "portable"
    monkeypatch.setenv(library.SET_VARIABLE, "mmx")
    with pytest.raises(ConfigError, match="mmx"):
        library.chosen_set(None)


def test_a_library_of_other_sources_is_refused(fresh_load: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "sources_digest", lambda: "0" * 16)
    with pytest.raises(NativeLibraryError, match=r"other sources.*pip install -e \."):
        library.load()


def test_a_missing_library_is_said_with_the_command(
    fresh_load: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "library_path", lambda: tmp_path / "libshizuku.native")
    with pytest.raises(NativeLibraryError, match=r"not built.*pip install -e \."):
        library.load()
    (tmp_path / "libshizuku.native").write_bytes(b"no library")
    with pytest.raises(NativeLibraryError, match="cannot be loaded"):
        library.load()


def test_the_digest_changes_with_any_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in (*sources.HERE.glob("*.cpp"), *sources.HERE.glob("*.h")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = sources.sources_digest()
    monkeypatch.setattr(sources, "HERE", tmp_path)
    assert sources.sources_digest() == before
    (tmp_path / "step.h").write_text((tmp_path / "step.h").read_text() + "\n")
    assert sources.sources_digest() != before


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
def test_a_wheel_carries_the_library_or_is_pure(compiled: bool, tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for path in (ROOT / "src").rglob("*"):
        if path.is_file() and path.suffix in (".py", ".h", ".cpp"):
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    code = "import hatchling.build as b, sys; b.build_wheel(sys.argv[1])"
    environment = {
        "SHIZUKU_NATIVE": "1" if compiled else "0",
        "SHIZUKU_CXXFLAGS": "-O0",
        "PATH": "/usr/bin:/bin",
    }
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=copy, env=environment, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    inside = "shizuku/quantization/native/"
    assert inside + "shizuku.cpp" in names and inside + "model.h" in names
    assert (inside + sources.library_path().name in names) == compiled
    assert wheel.name.endswith("-py3-none-any.whl") != compiled and "-py3-none-" in wheel.name
