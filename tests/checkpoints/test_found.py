"""Models that other tools have put on the disk, in folders laid out as those tools lay them out."""

import json
from pathlib import Path

import pytest

from shizuku.checkpoints.found import find_model, find_models
from shizuku.checkpoints.names import resolve
from shizuku.errors import CheckpointError

GGUF = b"GGUF" + bytes(100)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and none of the variables that lead elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    names = (
        "OLLAMA_MODELS",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "XDG_CACHE_HOME",
        "LLAMA_CACHE",
    )
    for name in (*names, "SHIZUKU_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(path: Path, content: bytes = GGUF) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def ollama(place: Path, name: str, digest: str, *, media: str = "model") -> Path:
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "0" * 64, "size": 1},
        {
            "mediaType": f"application/vnd.ollama.image.{media}",
            "digest": f"sha256:{digest}",
            "size": len(GGUF),
        },
    ]
    manifest = {"schemaVersion": 2, "config": {"digest": "sha256:" + "1" * 64}, "layers": layers}
    write(place / "manifests" / name, json.dumps(manifest).encode())
    return write(place / "blobs" / f"sha256-{digest}")


def test_nothing_is_found_on_an_empty_disk(home: Path) -> None:
    assert find_models() == []


def test_ollama(home: Path) -> None:
    place = home / ".ollama" / "models"
    blob = ollama(place, "registry.ollama.ai/library/llama3.2/1b", "a" * 64)
    latest = ollama(place, "registry.ollama.ai/library/smollm/latest", "b" * 64)
    ollama(place, "registry.ollama.ai/someone/theirs/v1", "c" * 64)
    ollama(place, "hf.co/org/name-GGUF/Q4_K_M", "d" * 64)
    ollama(place, "registry.ollama.ai/library/adapter/latest", "e" * 64, media="adapter")
    assert {model.name: model.bytes for model in find_models()} == dict.fromkeys(
        [
            "ollama:hf.co/org/name-GGUF:Q4_K_M",
            "ollama:llama3.2:1b",
            "ollama:smollm:latest",
            "ollama:someone/theirs:v1",
        ],
        len(GGUF),
    )
    assert resolve("ollama:llama3.2:1b") == blob
    assert resolve("llama3.2:1b") == blob
    assert resolve("ollama:smollm") == latest
    assert resolve("smollm") == latest


def test_ollama_elsewhere_and_damaged(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "elsewhere"))
    ollama(home / "elsewhere", "registry.ollama.ai/library/good/latest", "a" * 64)
    ollama(home / "elsewhere", "registry.ollama.ai/library/gone/latest", "b" * 64).unlink()
    ollama(home / "elsewhere", "registry.ollama.ai/library/evil/latest", "../../../etc/passwd").unlink()
    write(home / "elsewhere/manifests/registry.ollama.ai/library/broken/latest", b"not json")
    assert [model.name for model in find_models()] == ["ollama:good:latest"]
    warned = capsys.readouterr().err
    assert "broken/latest is no manifest of Ollama's" in warned
    assert f"gone/latest names the blob sha256-{'b' * 64}, which is missing" in warned


def test_lm_studio(home: Path) -> None:
    file = write(home / ".lmstudio/models/publisher/name-GGUF/name-Q4_0.gguf")
    write(home / ".lmstudio/models/publisher/name-GGUF/mmproj-name.gguf")
    write(home / ".lmstudio/models/publisher/big/big-00001-of-00002.gguf")
    write(home / ".cache/lm-studio/models/old/older/older.gguf")
    (home / ".lmstudio-home-pointer").write_text(str(home / "moved") + "\n")
    write(home / "moved/models/a/b/c.gguf")
    assert [model.name for model in find_models()] == [
        "lmstudio:a/b/c",
        "lmstudio:old/older/older",
        "lmstudio:publisher/name-GGUF/name-Q4_0",
    ]
    assert resolve("lmstudio:publisher/name-GGUF/name-Q4_0") == file


def test_llama_cpp(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    file = write(home / ".cache/llama.cpp/ggml-org_tiny.gguf")
    write(home / ".cache/llama.cpp/ggml-org_tiny.gguf.json", b"{}")
    assert [(m.name, m.path) for m in find_models()] == [("llama.cpp:ggml-org_tiny", file)]
    monkeypatch.setenv("LLAMA_CACHE", str(home / "other"))
    assert find_models() == []


def hub_model(cache: Path, repository: str, commit: str, files: dict[str, bytes]) -> Path:
    """As huggingface_hub lays it out: links in a snapshot to blobs."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    for number, (name, content) in enumerate(files.items()):
        blob = write(folder / "blobs" / f"{commit}{number}", content)
        link = folder / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    write(folder / "refs" / "main", commit.encode())
    return folder / "snapshots" / commit


def test_the_hugging_face_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = home / ".cache/huggingface/hub"
    files = {"config.json": b"{}", "model.safetensors": bytes(50), "tokenizer.json": b"{}"}
    hub_model(cache, "org/name", "aaa", files)
    newest = hub_model(cache, "org/name", "bbb", files)
    hub_model(cache, "org/only-config", "ccc", {"config.json": b"{}"})
    quantised = hub_model(cache, "org/name-GGUF", "ddd", {"name-Q4_0.gguf": GGUF})
    write(cache / "datasets--org--data" / "refs" / "main", b"eee")
    assert [(m.name, m.path, m.bytes) for m in find_models()] == [
        ("hf:org/name", newest, 50),
        ("hf:org/name-GGUF/name-Q4_0.gguf", quantised / "name-Q4_0.gguf", len(GGUF)),
    ]
    assert resolve("org/name") == newest, "what the cache has is not fetched"
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    assert find_models() == []
    hub_model(home / "hub", "org/third", "fff", files)
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    assert [model.name for model in find_models()] == ["hf:org/third"]


def test_a_bare_name_that_two_tools_know_must_be_said_in_full(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    write(home / ".cache/llama.cpp/tiny.gguf")
    write(home / ".lmstudio/models/tiny.gguf")
    assert find_model("tiny") is None
    with pytest.raises(CheckpointError, match=r"did you mean llama.cpp:tiny or lmstudio:tiny\?"):
        resolve("tiny")
    assert find_model("lmstudio:tiny") is not None


def test_a_real_model_is_loaded_from_where_another_tool_has_it(home: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from shizuku.checkpoints.directory import load_checkpoint, save_checkpoint
    from shizuku.checkpoints.gguf import write_gguf
    from small_models import small_model, small_tokenizer

    model = small_model()
    path = save_checkpoint(tmp_path / "model", model=model)
    blob = ollama(home / ".ollama/models", "registry.ollama.ai/library/small/latest", "a" * 64)
    write_gguf(blob, model.config, model.state_dict(), small_tokenizer())
    found = load_checkpoint(resolve("ollama:small"))
    assert found.kind == "gguf" and found.tokenizer is not None
    assert found.model.embedding.weight.equal(
        load_file(path / "model.safetensors")["model.embed_tokens.weight"]
    )
