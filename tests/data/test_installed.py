"""Prose of the Python installation: what is taken, what is left out, and in which order."""

from pathlib import Path

import pytest

from shizuku.data import installed
from shizuku.data.installed import is_prose, prose, python_documents
from shizuku.errors import DocumentError

SENTENCE = "This is a sentence of {name}, number {n}, and it is one of those that a reader would call prose. "


def docstring(name: str, n: int, repeats: int = 6) -> str:
    return "\n".join(SENTENCE.format(name=name, n=f"{n} {'i' * i}") for i in range(repeats))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages in place of the installed ones."""
    monkeypatch.setattr(installed, "_folders", lambda: [("", tmp_path)])
    monkeypatch.setattr(installed, "_help_topics", list)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_docstrings_documents_and_descriptions_are_found(packages: Path) -> None:
    code = [
        f'"""{docstring("alpha", 1)}"""',
        """# a comment with \"\"\" quotes and "others"\nx = "'''\"""",
        f'def f():\n    r"""{docstring("raw", 2)}\n    and \\alpha stays.\n    """',
        f'    x = f"""{docstring("no", 3)}"""',
        f'add_docstr(f, """\n{docstring("added", 4)}\\x41""")',
    ]
    write(packages / "alpha" / "core.py", "\n".join(code))
    write(packages / "beta" / "guide.rst", docstring("beta", 5))
    write(
        packages / "gamma-1.0.dist-info" / "METADATA", "Name: gamma\nVersion: 1\n\n" + docstring("gamma", 6)
    )
    write(packages / "alone.py", f"'''{docstring('alone', 7)}'''")
    found = {document.source: document.text for document in python_documents()}
    assert found.keys() == {"alpha", "beta", "gamma", "alone"}
    for name in ("alpha", "raw", "added"):
        assert found["alpha"].count(f"sentence of {name},") == 6
    assert "sentence of no," not in found["alpha"]
    assert r"and \alpha stays" in found["alpha"]
    assert found["alpha"].endswith("A")
    assert "Version" not in found["gamma"]


def test_noise_is_left_out(packages: Path) -> None:
    text = docstring("left", 1)
    for place in ("a/tests/test_a.py", "a/_vendor/b.py", "a/test/c.py"):
        write(packages / place, f'"""{text}"""')
    for place in ("a/LICENSE.txt", "a/CHANGES.md", "a-1.dist-info/licenses/COPYING.txt", "a/table.csv"):
        write(packages / place, text)
    write(packages / "a" / "short.md", "Too short to be a document, however well it may read.")
    write(packages / "a" / "broken.md", "")
    (packages / "a" / "broken.md").write_bytes(b"\xff\xfe" + text.encode() * 2)
    (packages / "a" / "link.md").symlink_to(packages / "nowhere")
    write(packages / "a" / "french.txt", "Ceci est une phrase qui parle du temps et des saisons. " * 20)
    with pytest.raises(DocumentError, match="name files of your own"):
        list(python_documents())


def test_the_same_paragraph_is_taken_once(packages: Path) -> None:
    for name in ("one", "two"):
        write(packages / name / "readme.md", docstring("shared", 1) + "\n\n" + docstring(name, 2))
    one, two = (document.text for document in python_documents())
    assert "sentence of shared," in one
    assert "sentence of shared," not in two


def test_packages_take_turns_and_stops_are_kept(packages: Path) -> None:
    for name in ("a", "b", "c"):
        for number in range(4):
            write(packages / name / f"{number}.md", docstring(f"{name}{number}", number, 6 + number))
    documents = list(python_documents())
    assert [document.source for document in documents] == ["a", "b", "c"] * 4
    assert "sentence of a3," in documents[0].text, "the largest first"
    assert len({document.id for document in documents}) == 12
    assert list(python_documents()) == documents
    assert [d.source for d in python_documents(max_bytes=len(documents[0].text) + 1)] == ["a", "b"]
    assert len(list(python_documents(max_seconds=0.0))) == 1


def test_paragraphs_that_are_not_prose_are_dropped() -> None:
    assert is_prose("Returns the number of things that were counted, or None if there are none.")
    assert not is_prose("Permission is hereby granted, free of charge, to any person.")
    assert not is_prose(">>> print('hello world of words')\nhello world of words")
    assert not is_prose("x = np.zeros((3, 4)); y = foo(x[0], **kwargs)")
    assert not is_prose("1.0  2.0  3.0  4.0\n5.0  6.0  7.0  8.0")
    assert not is_prose("日本語の段落")
    assert not is_prose("")
    sentence = "The first paragraph says what it is and what it does."
    assert prose(f"![badge](https://x.y/z.svg)\n<p align='center'>\n\n{sentence}\n\n$ run x") == [sentence]
    assert prose("Short\n\nLabels") == []


def test_this_installation_has_some() -> None:
    # In the order of names: large packages at its beginning are a good part of the first megabyte.
    documents = list(python_documents(max_bytes=1_500_000))
    assert sum(len(document.text.encode()) for document in documents) >= 1_500_000
    assert len({document.source for document in documents}) > 10
