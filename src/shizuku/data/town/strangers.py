# ruff: noqa: E501, SIM905 (tables and productions: a long entry is clearer on one line)
"""Names that nobody in a town has: invented ones to learn from, real ones to be asked about."""

from shizuku.data.town.japanese import nouns
from shizuku.data.town.randomness import Choices
from shizuku.data.town.stock import FAMILIES, FEMALE, MALE
from shizuku.data.town.world import Town

REAL = {
    "ayane": "綾音", "chihiro": "千尋", "fuyuko": "冬子", "harumi": "春美", "hazuki": "葉月", "kaede": "楓",
    "kanako": "可奈子", "karin": "花梨", "kimiko": "君子", "kumiko": "久美子", "mutsumi": "睦美", "namiko": "波子",
    "orie": "織江", "rena": "玲奈", "ruriko": "瑠璃子", "sayoko": "小夜子", "shizue": "静江", "tokiko": "時子",
    "umeko": "梅子", "wakako": "和歌子", "arata": "新", "bunta": "文太", "chikara": "力", "daigo": "大吾",
    "fumiya": "文哉", "genzo": "源三", "hidetoshi": "英俊", "iwao": "巌", "jiichi": "治一", "katsuo": "勝男",
    "kyohei": "恭平", "masaru": "勝", "motoki": "元気", "narumi": "成海", "rokuro": "六郎", "ryunosuke": "龍之介",
    "seiji": "誠二", "sozo": "壮三", "tamotsu": "保", "yasushi": "靖",
}  # fmt: skip
"""Given names that no town of any seed uses, romanised and as they are written."""
SYLLABLES = (
    "ka ki ku ke ko sa shi su se so ta chi tsu te to na ni nu ne no ha hi fu he ho ma mi mu me mo ya yu yo ra ri "
    "ru re ro wa ga gi go za ji da do ba bu bo"
).split()
KANJI = "綾英桜海岳寛輝菊吉喜久恵慶賢吾光佐史慈秀純昭信仁水清千泰達知鉄冬灯奈虎夏波之博美百文穂蓬麻万幹夢明弥雄洋里龍礼露和"


def invented(language: str, pick: Choices) -> str:
    """A family of the town with a given name made up for the lesson."""
    number = pick.below(len(FAMILIES))
    if language == "en":
        given = "".join(pick.of(SYLLABLES) for _ in range(pick.between(2, 4)))
        return f"{given.capitalize()} {FAMILIES[number].capitalize()}"
    return nouns.FAMILIES[number] + "".join(pick.of(KANJI) for _ in range(pick.between(1, 3)))


def real_strangers(town: Town, language: str, pick: Choices) -> list[str]:
    """Full names, as people have them, that nobody in the town bears: the stock's unused ones and more."""
    written = dict(zip((*FEMALE, *MALE), (*nouns.FEMALE, *nouns.MALE), strict=True))
    given = {name: word for name, word in written.items() if name not in town.people} | REAL
    names = []
    for romanised, word in given.items():
        number = pick.below(len(FAMILIES))
        names.append(
            f"{romanised.capitalize()} {FAMILIES[number].capitalize()}"
            if language == "en"
            else nouns.FAMILIES[number] + word
        )
    return names
