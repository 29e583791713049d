"""Fixtures for real data and real models; where those are missing a test skips, and in CI it fails."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

# Workers that share the cores compute with one thread each; torch reads this when it is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shapes and dtypes in public signatures are checked under pytest only.
install_import_hook(["shizuku.models", "shizuku.inference"], "beartype.beartype")


def unavailable(reason: str) -> None:
    """Skip, or fail in CI, where everything that the tests need has been installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needed in CI: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data_pack() -> Path:
    """The folder of real data: `SHIZUKU_DATA`, or `../shared/data` beside the repository."""
    here = Path(__file__).resolve().parents[1]
    for place in (os.environ.get("SHIZUKU_DATA"), here.parent / "shared" / "data"):
        if place and (Path(place) / "text" / "tinyshakespeare.txt").is_file():
            return Path(place)
    unavailable("the data pack is not here: set SHIZUKU_DATA to its folder")
    raise AssertionError


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The file of SmolLM2-135M-Instruct, if it has been pulled."""
    from shizuku.checkpoints.fetch import pulled

    path = pulled("smollm2-135m-instruct")
    if path is None:
        unavailable("SmolLM2 is not here: run `shizuku pull smollm2-135m-instruct`")
        raise AssertionError
    return path


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The directory of all-MiniLM-L6-v2, if it has been pulled."""
    from shizuku.checkpoints.fetch import pulled

    path = pulled("all-minilm-l6-v2")
    if path is None:
        unavailable("MiniLM is not here: run `shizuku pull all-minilm-l6-v2`")
        raise AssertionError
    return path


@pytest.fixture(scope="session")
def glassllm_weights() -> Path:
    """The folder `weights/` of the package `glassllm`, unpacked at `SHIZUKU_GLASSLLM`."""
    place = os.environ.get("SHIZUKU_GLASSLLM")
    if place and (Path(place) / "en.npz").is_file():
        return Path(place)
    unavailable("glassllm is not here: set SHIZUKU_GLASSLLM to the `weights` folder of its wheel")
    raise AssertionError


@pytest.fixture(scope="session")
def llama_cpp_models() -> Path:
    """The folder `models` of llama.cpp: vocabularies and templates; `SHIZUKU_LLAMACPP_MODELS` names it."""
    place = os.environ.get("SHIZUKU_LLAMACPP_MODELS")
    if place and (Path(place) / "templates").is_dir():
        return Path(place)
    unavailable(
        "llama.cpp's models are not here: set SHIZUKU_LLAMACPP_MODELS to the folder `models` of its sources"
    )
    raise AssertionError


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium of the system's, driven by Playwright."""
    api = pytest.importorskip("playwright.sync_api") if os.environ.get("CI") != "true" else None
    if api is None:
        from playwright import sync_api as api
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        unavailable("Chromium is not here: apt-get install chromium fonts-noto-cjk")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
