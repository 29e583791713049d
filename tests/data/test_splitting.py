"""Splits by whole sources, and by contiguous blocks where a source is too large for that."""

import pytest

from shizuku.data.splitting import Split, split_by_source
from shizuku.errors import DocumentError
from shizuku.text.documents import Document, document_id


def source(name: str, documents: int, size: int = 100) -> list[Document]:
    return [Document(document_id(name, n), f"{name} {n} ".ljust(size, "x"), name) for n in range(documents)]


def many() -> list[Document]:
    return [document for number in range(50) for document in source(f"source {number}", 1 + number % 7)]


def sources(documents: list[Document]) -> set[str]:
    return {document.source for document in documents}


def test_whole_sources_go_one_way() -> None:
    split = split_by_source(many(), heldout_bytes=3000)
    assert sources(split.train).isdisjoint(sources(split.heldout))
    assert sorted(d.id for d in split.train + split.heldout) == sorted(d.id for d in many())
    assert 3000 <= split.heldout_bytes == sum(len(d.text) for d in split.heldout) <= 6000
    assert split.train_bytes == sum(len(d.text) for d in split.train)
    assert set(split.sources) == sources(split.heldout)
    assert split.note == f"{len(split.sources)} of 50 sources held out whole"


def test_seed_decides_and_order_of_reading_does_not() -> None:
    again = split_by_source(many()[::-1], heldout_bytes=3000)
    assert split_by_source(many(), heldout_bytes=3000).sources == again.sources
    assert split_by_source(many(), heldout_bytes=3000, seed=1).sources != again.sources


def test_key_names_what_stays_together() -> None:
    split = split_by_source(many(), heldout_bytes=3000, key=lambda document: document.source[-1])
    assert {d.source[-1] for d in split.train}.isdisjoint({d.source[-1] for d in split.heldout})


def text_of(documents: list[Document]) -> str:
    return "".join(document.text for document in documents)


def check_block(split: Split, whole: str) -> None:
    """The held-out text is one piece of the whole, and training is the rest of it."""
    start = whole.index(split.heldout[0].text)
    block = whole[
        start : start + sum(len(document.text) for document in split.heldout) + len(split.heldout) * 2
    ]
    for document in split.heldout:
        assert document.text in block
    kept = "".join((text_of(split.train) + text_of(split.heldout)).split())
    assert sorted(kept) == sorted("".join(whole.split()))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("border", ["\n\n", "\n", " ", "。"])
def test_one_long_document_is_cut_at_its_borders(border: str, seed: int) -> None:
    sentence = "ある文である" if border == "。" else "Sentence number {}."
    whole = border.join(sentence.format(number) for number in range(1000))
    split = split_by_source([Document("a" * 16, whole, "novel")], heldout_bytes=2000, seed=seed)
    assert 2000 <= split.heldout_bytes < 2400
    assert len(split.heldout) == 1
    assert split.heldout[0].text.strip() in whole
    assert len({document.id for document in split.train + split.heldout}) == len(split.train) + 1
    check_block(split, whole)
    assert "one contiguous block held out of novel, the largest source" in split.note


def test_documents_of_one_source_stay_whole() -> None:
    wrote = source("lines", 200)
    split = split_by_source(wrote, heldout_bytes=1000)
    numbers = [wrote.index(document) for document in split.heldout]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    assert [wrote.index(document) for document in split.train] == [n for n in range(200) if n not in numbers]


def test_a_source_of_more_than_half_gives_its_share() -> None:
    split = split_by_source(source("large", 300) + many(), heldout_bytes=5000)
    held = {
        name: sum(len(d.text) for d in split.heldout if d.source == name) for name in sources(split.heldout)
    }
    large = held.pop("large")
    assert 0.9 < large / (5000 * 300 / (300 + len(many()))) < 1.2
    assert held
    assert sources(split.train) & sources(split.heldout) == {"large"}


def test_few_large_sources_are_cut_rather_than_lost() -> None:
    split = split_by_source([*source("a", 300), *source("b", 290), *source("c", 310)], heldout_bytes=3000)
    assert sources(split.heldout) == sources(split.train) == {"a", "b", "c"}
    assert 3000 <= split.heldout_bytes < 3600
    assert "held out of 3 large sources" in split.note


def test_what_cannot_be_held_out_is_said() -> None:
    with pytest.raises(DocumentError, match=r"cannot hold out 600 of 1,000 bytes.*--heldout-megabytes"):
        split_by_source(source("a", 10), heldout_bytes=600)
    with pytest.raises(DocumentError, match="cannot hold out 0"):
        split_by_source(source("a", 10), heldout_bytes=0)
    with pytest.raises(DocumentError, match=r"too few parts: 1,000 bytes held out would leave 0"):
        split_by_source(source("a", 1, size=1000), heldout_bytes=100)


@pytest.mark.parametrize("longest", ["", "word " * 30_000], ids=["short", "and one long"])
def test_lines_without_sentences_are_borders_too(longest: str) -> None:
    whole = "\n".join([f"line {number} of a list of things" for number in range(3000)] + [longest])
    split = split_by_source([Document("a" * 16, whole, "list")], heldout_bytes=2000, seed=1)
    assert split.heldout_bytes >= 2000 and split.train
    assert sum(map(len, text_of(split.train) + text_of(split.heldout))) > len(whole) * 0.99


def test_something_is_held_out_whatever_the_sizes_and_the_seed() -> None:
    middling = [*source("a", 30), *(one for name in "bcdef" for one in source(name, 75))]
    for seed in range(100):
        split = split_by_source(middling, heldout_bytes=50 * 100, seed=seed)
        assert 5000 <= split.heldout_bytes < 11_000, seed
