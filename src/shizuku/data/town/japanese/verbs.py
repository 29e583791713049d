# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""Japanese verbs in the forms the productions need."""

import re

FORMS = ("ta", "mashita", "te", "ru")
"""買った, 買いました, 買って, 買う."""

_ICHIDAN = frozenset(
    [
        "食べる",
        "見る",
        "かける",
        "待ち合わせる",
        "忘れる",
        "確かめる",
        "集める",
        "させる",
        "走らせる",
        "診る",
        "見つける",
        "植える",
        "届ける",
        "教える",
        "伝える",
        "借りる",
        "出かける",
        "訪ねる",
        "助ける",
        "並べる",
        "届ける",
        "あげる",
        "入れる",
        "数える",
        "見かける",
        "片づける",
        "混ぜる",
        "炒める",
        "煮る",
        "温める",
        "知らせる",
        "仕上げる",
        "起きる",
        "寝る",
        "受ける",
        "調べる",
        "着る",
        "始める",
        "続ける",
        "打ち明ける",
        "育てる",
        "手がける",
        "こしらえる",
        "掛ける",
        "貯める",
        "出る",
        "つける",
        "収める",
        "決める",
        "眺める",
        "見せる",
        "語り聞かせる",
        "読み聞かせる",
        "引き上げる",
        "揃える",
        "そろえる",
        "分ける",
        "焼き上げる",
        "押さえる",
        "添える",
        "生ける",
        "乗せる",
        "載せる",
        "閉める",
        "開ける",
        "加える",
        "まとめる",
        "重ねる",
        "調える",
        "寄せる",
        "当てる",
        "答える",
        "控える",
        "浮かべる",
        "染める",
        "整える",
        "建てる",
        "磨き上げる",
        "運び入れる",
        "手に入れる",
        "買い求める",
        "求める",
        "立てる",
        "仕立てる",
        "備える",
        "告げる",
        "誘いかける",
    ]
)
# Ending of a five-grade verb -> its stem for masu, and its te and ta.
_GODAN = {
    "う": ("い", "って", "った"), "く": ("き", "いて", "いた"), "ぐ": ("ぎ", "いで", "いだ"),
    "す": ("し", "して", "した"), "つ": ("ち", "って", "った"), "ぬ": ("に", "んで", "んだ"),
    "ぶ": ("び", "んで", "んだ"), "む": ("み", "んで", "んだ"), "る": ("り", "って", "った"),
}  # fmt: skip


def inflect(verb: str, form: str) -> str:
    """The verb in a form; the empty verb gives the form's own name (for slots that hold a whole verb phrase)."""
    if not verb or form == "ru":
        return verb or form
    if verb.endswith("する"):
        masu, te, ta, stem = "し", "して", "した", verb[:-2]
    elif verb.endswith(("行く", "いく")):
        masu, te, ta, stem = "き", "って", "った", verb[:-1]
    elif verb.endswith("来る"):
        masu, te, ta, stem = "来", "来て", "来た", verb[:-2]
    elif any(verb.endswith(known) for known in _ICHIDAN):
        masu, te, ta, stem = "", "て", "た", verb[:-1]
    else:
        (masu, te, ta), stem = _GODAN[verb[-1]], verb[:-1]
    return stem + {"mashita": masu + "ました", "te": te, "ta": ta, "masu": masu + "ます"}[form]


def phrase(text: str, form: str) -> str:
    """A verb phrase with its ~verb in a form."""
    return re.sub(r"~(.+)$", lambda m: inflect(m.group(1), form), text)
