# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""Japanese lessons: questions in several phrasings, and the one sentence that answers each.

`q.` rules ask and are never read back; `s.` rules answer, and the judge reads them.
"""

TEXT = """
q.lesson.job
  {who:full}の仕事は何ですか
  {who:full}はどんな仕事をしていますか
  {who:full}の職業を教えてください
  {who:full}は何をして働いていますか
  {who:full}は何をしている人ですか
s.lesson.job = person
  {who:full}は{job}です
q.lesson.is.job
  {who:full}は{job}ですか
s.lesson.yes.job = person
  はい、{who:full}は{job}です
s.lesson.no.job = person
  いいえ、{who:full}は{job}です
q.lesson.workplace
  {who:full}はどこで働いていますか
  {who:full}の職場はどこですか
  {who:full}の働く場所を教えてください
  {who:full}は平日どこにいますか
  {who:full}の勤め先はどこですか
s.lesson.workplace = person
  {who:full}の職場は{workplace:plain}です
q.lesson.street
  {who:full}はどこに住んでいますか
  {who:full}の家はどこですか
  {who:full}の住む通りを教えてください
  {who:full}は何という通りに住んでいますか
  {who:full}の住まいはどこですか
s.lesson.street = person
  {who:full}は{street}に住んでいます
q.lesson.is.street
  {who:full}は{street}に住んでいますか
s.lesson.yes.street = person
  はい、{who:full}は{street}に住んでいます
s.lesson.no.street = person
  いいえ、{who:full}は{street}に住んでいます
q.lesson.partner
  {who:full}はだれと結婚していますか
  {who:full}の結婚相手はだれですか
  {who:full}の結婚相手を教えてください
  {who:full}の夫か妻はだれですか
  {who:full}の配偶者はだれですか
s.lesson.partner = partner
  {who:full}は{whom:full}と結婚しています
q.lesson.is.partner
  {who:full}は{whom:full}と結婚していますか
s.lesson.yes.partner = partner
  はい、{who:full}は{whom:full}と結婚しています
s.lesson.no.partner = partner
  いいえ、{who:full}は{whom:full}と結婚しています
q.lesson.pet
  {who:full}は何を飼っていますか
  {who:full}の家には何がいますか
  {who:full}のペットを教えてください
  {who:full}は動物を飼っていますか
  {who:full}のペットの名前は何ですか
s.lesson.pet = pet
  {who:full}は{petname}という{pet}を飼っています
q.lesson.place
  {place:plain}はどこにありますか
  {place:plain}はどの角にありますか
  {place:plain}の場所を教えてください
  {place:plain}は何という通りにありますか
  {place:plain}はどこですか
s.lesson.place = place
  {place:plain}は{street}と{avenue}の角にあります
q.lesson.closed
  {place:plain}の休みは何曜日ですか
  {place:plain}はいつ休みですか
  {place:plain}の休みの日を教えてください
  {place:plain}は何曜日に休みますか
  {place:plain}が閉まっているのは何曜日ですか
s.lesson.closed = place
  {place:plain}の休みは{weekday}です
q.lesson.is.closed
  {place:plain}の休みは{weekday}ですか
s.lesson.yes.closed = place
  はい、{place:plain}の休みは{weekday}です
s.lesson.no.closed = place
  いいえ、{place:plain}の休みは{weekday}です
q.lesson.hours
  {place:plain}は何時から何時まで開いていますか
  {place:plain}の営業時間はいつですか
  {place:plain}の営業時間を教えてください
  {place:plain}は何時に開いて何時に閉まりますか
  {place:plain}はいつ開いていますか
s.lesson.hours = place
  {place:plain}は{opens}から{closes}まで開いています
q.lesson.owner
  {place:plain}の主人はだれですか
  {place:plain}はだれの店ですか
  {place:plain}の持ち主を教えてください
  {place:plain}をやっているのはだれですか
  {place:plain}を営むのはだれですか
s.lesson.owner = owner
  {place:plain}の主人は{who:full}です
q.lesson.sold
  {good}はどこで買えますか
  {good}を売っているのはどの店ですか
  {good}を買える店を教えてください
  {good}はどこで売っていますか
  {good}はどの店にありますか
s.lesson.sold = sold
  {good}は{place:plain}で売っています
q.lesson.author
  {book}を書いたのはだれですか
  {book}の作者はだれですか
  {book}の作者を教えてください
  {book}はだれの本ですか
  {book}はだれが書きましたか
s.lesson.author = author
  {book}を書いたのは{who:full}です
q.lesson.dish
  {dish}は何分でできますか
  {dish}を作るのに何分かかりますか
  {dish}ができるまでの時間を教えてください
  {dish}はどのくらいでできますか
  {dish}には何分かかりますか
s.lesson.dish = dish
  {dish}は{minutes}分でできます
q.lesson.plus
  {total:digits} + {total2:digits} はいくつですか
  {total:digits} + {total2:digits} = ？
  {total:digits}足す{total2:digits}はいくつですか
  {total:digits}と{total2:digits}を足してください
q.lesson.minus
  {paid:digits} − {total:digits} はいくつですか
  {paid:digits} - {total:digits} = ？
  {paid:digits}引く{total:digits}はいくつですか
  {paid:digits}から{total:digits}を引いてください
q.lesson.buy
  {good}は{total}、{good2}は{total2}です。合わせていくらですか
  {who:name}は{total}の{good}と{total2}の{good2}を買いました。全部でいくらですか
q.lesson.pay
  {who:name}は{paid}持っていて、{total}使いました。いくら残りますか
  {good}は{total}です。{who:name}が{paid}出すと、おつりはいくらですか
q.lesson.next
  {total:digits}の次の数は何ですか
s.lesson.next =
  {total:digits}の次は{total2:digits}です
q.lesson.before
  {total:digits}の前の数は何ですか
s.lesson.before =
  {total:digits}の前は{total2:digits}です
q.lesson.larger
  {total:digits}と{total2:digits}では、どちらが大きいですか
s.lesson.larger =
  {total3:digits}のほうが大きいです
s.lesson.unknown
  わかりません
q.lesson.hello
  こんにちは
  おはようございます
  こんばんは
  はじめまして
s.lesson.hello
  こんにちは、{town}のことを何でも聞いてください
q.lesson.self
  あなたはだれですか
  何ができますか
  自己紹介をしてください
s.lesson.self
  {town}のことを読んだ小さな言語モデルです
q.lesson.thanks
  ありがとう
  ありがとうございます
  さようなら
s.lesson.thanks
  どういたしまして
"""

UNKNOWN_TOPICS = (
    "{}の身長はどのくらいですか", "{}の電話番号は何番ですか", "{}の給料はいくらですか", "{}の靴の大きさは何ですか",
    "{}は何か国語を話しますか", "{}は昨夜どんな夢を見ましたか", "{}の体重はどのくらいですか",
    "{}はどんな車に乗っていますか", "{}の祖父はどの学校に行きましたか", "{}の血液型は何ですか",
    "{}の好きな歌は何ですか", "{}は靴を何足持っていますか", "{}は王様をどう思っていますか",
    "{}の暗証番号は何ですか",
)  # fmt: skip
"""Questions that nothing in the town's text or facts answers."""
UNKNOWN_PLACES = (
    "映画館", "動物園", "城", "空港", "劇場", "賭博場", "大病院", "刑務所", "駐車場", "水泳場", "歌劇場", "灯台", "工場",
    "大学",
)  # fmt: skip
"""Places that the town does not have."""
WHERE_IS = ("{}はどこにありますか", "{}は何時から何時まで開いていますか", "{}の休みは何曜日ですか")
