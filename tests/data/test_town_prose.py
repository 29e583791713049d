"""What readers of the town stumbled over stays mended."""

import re

import pytest

from shizuku.data.town import TownDocument, town_documents


@pytest.fixture(scope="module")
def documents() -> list[TownDocument]:
    return list(town_documents(megabytes=1.0))


STUMBLES = [
    ("en", "entry", r"works as a (pupil|pensioner)"),
    ("en", "dialogue", r"married\?|partner\?\n\w+: To "),
    ("en", "dialogue", r"(goodbye|see you soon), \w+\.\n\w+: (With pleasure|Not at all|You are welcome)"),
    ("en", "arithmetic", r"(?i:taking) [\d,]+, we|two prices\?\n+Then "),
    ("ja", "arithmetic", r"払うと、\d+円残ります。\n?(二つ目|はじめ)"),
    ("ja", "dialogue", r"(失礼します|それではまた)。\n\w+：(どういたしまして|いいえ、こちらこそ|お役に)"),
    ("ja", "dialogue", r"一緒にいたのは|さんは結婚していますか|さんとです。"),
    ("ja", "instructions", r"そうしたら、|できたら、\w+ら、|、終わったら、"),
    ("ja", "entry", r"働く日は|日の[^。]*店で[\d,]+円だった"),
]


@pytest.mark.parametrize(("language", "register", "stumble"), STUMBLES)
def test_a_reader_does_not_stumble(
    documents: list[TownDocument], language: str, register: str, stumble: str
) -> None:
    read = [d.text for d in documents if (d.language, d.register) == (language, register)]
    assert len(read) > 50
    found = [match.group() for text in read if (match := re.search(stumble, text))]
    assert not found, found[:3]
