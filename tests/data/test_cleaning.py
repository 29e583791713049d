"""Light cleaning and exact deduplication, with every drop accounted for."""

import time
from collections import Counter

from shizuku.data.cleaning import Ledger, clean, clean_text, drop_duplicates
from shizuku.text.documents import Document, document_id


def documents(*texts: str) -> list[Document]:
    return [Document(document_id("test", number), text, "test") for number, text in enumerate(texts)]


def test_text_is_mended() -> None:
    changes: Counter[str] = Counter()
    assert clean_text("a\x00b\x1b\ufeff\tc\ud800", changes) == "ab\tc"
    assert clean_text("one\r\ntwo\rthree\u2028four", changes) == "one\ntwo\nthree\nfour"
    assert clean_text("cafe\u0301 か\u3099") == "café が"
    assert clean_text("ﾃｽﾄ ①") == "ﾃｽﾄ ①", "NFC, not NFKC: nothing that a reader would see changes"
    assert clean_text("a  \n\n\n\n\n\nb\n \n\nc\n") == "a\n\n\nb\n\n\nc"
    assert clean_text("  code\n    stays") == "  code\n    stays"
    assert changes == {"control characters": 1, "line ends": 1}


def test_cleaning_twice_changes_nothing() -> None:
    dirty = "  x \r\r\n\x85 \n\n \n\n\t\nか\u3099 \u2028\u2028\x0c\n\n end\ufeff  "
    assert clean_text(clean_text(dirty)) == clean_text(dirty)


def test_short_and_empty_documents_are_dropped_with_a_reason() -> None:
    ledger = Ledger()
    wrote = documents(
        "twenty characters and more", "a b c", " \n ", "二十文字より長いので、この文書はきっと残るはずだ。"
    )
    kept = list(clean(wrote, ledger))
    assert [document.id for document in kept] == [wrote[0].id, wrote[3].id]
    assert ledger.counts() == {"shorter than the minimum": 1, "empty": 1}
    assert (ledger.drops[0].id, ledger.drops[0].step, ledger.drops[0].score) == (wrote[1].id, "clean", 3)
    assert list(clean(documents("a b c"), min_characters=3)) == documents("a b c")


def test_duplicates_name_the_one_that_stays() -> None:
    ledger = Ledger()
    wrote = documents("the same text", "another", "the  same\n\ttext ", "another", "The same text")
    kept = list(drop_duplicates(wrote, ledger))
    assert kept == [wrote[0], wrote[1], wrote[4]]
    assert [(drop.id, drop.partner_id) for drop in ledger.drops] == [
        (wrote[2].id, wrote[0].id),
        (wrote[3].id, wrote[1].id),
    ]
    assert ledger.counts() == {"exact duplicate": 2}


def test_documents_that_share_an_id_are_still_compared_by_text() -> None:
    one, two = Document("same", "text", "a"), Document("same", "text", "b")
    assert list(drop_duplicates([one, two])) == [one]


def test_form_feeds_part_lines_and_long_runs_of_blanks_take_no_time() -> None:
    assert clean_text("page\x0cNext\x85line \t\n") == "page\nNext\nline"
    begun = time.perf_counter()
    assert clean_text("a" + " " * 200_000 + "b  ") == "a" + " " * 200_000 + "b"
    assert time.perf_counter() - begun < 5
