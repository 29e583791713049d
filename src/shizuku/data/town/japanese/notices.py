"""Japanese notices: offers, things lost and found, results, the weather, closing days."""

TEXT = """
t.notice.sale
  {place}より[お知らせ|本日のお買い得|ご案内]
  [本日のお買い得品|今日の特価|特売のお知らせ]（{day}）
  {place} [今日の値段|今日のおすすめ]
  {street}の皆さまへ
  {day:long}
t.notice.lost
  [落とし物|探し物|お願い]：{item}
  [落とし物のお知らせ|探しています]（{day}）
  {item}を見ませんでしたか
t.notice.found
  [見つかりました|拾得物]：{item}
  [落とし物が見つかりました|拾得物のお知らせ]（{day}）
  お心当たりの方へ
t.notice.win
  {day}の[結果|大会の結果|優勝者]
  [おめでとうございます|結果発表|大会だより]
  {town}の[大会から|催し]
t.notice.weather
  {town}の[天気|お天気だより]（{day}）
  {day:long}
  [役場からのお知らせ|今日の天気]
t.notice.hours
  {place}の[ご案内|営業時間|お知らせ]
  {place}（{street}）
  {place}をご利用の皆さまへ
s.notice.greet
  いつも{place}を[ご利用いただき、|お引き立ていただき、]ありがとうございます
  {day}の[お値段|お買い得品]をお知らせします
  {street}の{place}です => place
  本日も{opens}から店を開けております => place
  {place}の{who:full}です、いつもお世話になっております => owner
  [皆さま、こんにちは|皆さま、お元気でしょうか]
  [今日は|本日は]よい品がそろいました
  季節の品を用意しましたので、どうぞお立ち寄りください
s.notice.sale = sale
  {good}が、いつもは{usual}のところ、{yen}です
  {usual}の{good}を、今日は{yen}でお出しします
  今日に限り、{good}は{yen}です
  {good}を{usual}から{yen}に値下げしました
  {good}は[売り切れるまで|夕方まで|閉店まで]{yen}です
  [目玉は|おすすめは]{good}で、{usual}が{yen}になります
  {good}のお値段は{yen}で、ふだんの{usual}よりお得です
s.notice.price = price
  {good}は{yen}です
  {good}のお値段は{yen}です
  {yen}で{good}をお求めいただけます
  {good}を{yen}で並べております
  {good}も{yen}でございます
  {good}は今日も{yen}です
s.notice.hours = place
  営業時間は{opens}から{closes}までです
  {place}は{closes}まで開いています
  {place}は{opens}に開き、{closes}に閉まります
  {weekday}は休みです
  なお、{weekday}はお休みをいただきます
  場所は{street}、{avenue}との角です
  {place}は{street}と{avenue}が交わる所にあります
  {weekday}のほかは、{opens}から開いております
  {weekday}にはだれもおりませんので、ご注意ください
s.notice.history = place
  {place}は{founded}から{street}にあります
  {place}は{founded}に[できました|始まりました|建てられました]
  {founded}の開業以来、町の皆さまに親しまれています
s.notice.bye
  [皆さまのお越しをお待ちしております|どうぞお越しください|お早めにどうぞ|ご近所の方にもお伝えください]
  [袋をお持ちください|犬を連れての入店はご遠慮ください|お子さまも歓迎です|足元にお気をつけください]
  [どうぞよろしくお願いいたします|ご来店をお待ちしております|それでは、また明日]
s.notice.lost = lose
  {day}、{who:full}が{place}で{item}をなくしました
  {who:full}は{day}の{part}、{place}に{item}を忘れました
  {day}の{part}、{place}で{item}を落とした方がいます
  {who:full}が{place}でなくした{item}を探しています
  {who:full}の{item}が、{day}から見つかりません
  {item}を最後に見たのは{place}だと、{who:full}は話しています
s.notice.lost.more
  {who}の家は{street}です => person
  [名前が書いてあります|{colour}の小さなものです|古いものですが、大切な品です|見ればすぐにわかります]
  見つけた方は[役場|郵便局|駅]までお届けください
  見つけた方は{street}の{who}までご連絡ください => person
  [お礼にお茶をごちそうします|わずかですが、お礼を差し上げます]
  [ベンチの下や垣根の裏も見てください|どんなことでもお知らせください]
s.notice.found = find
  {day}、{who:full}が{place}で{item}を見つけました
  {place}で{part}に{item}が見つかりました
  {whom:full}の{item}が{place}で見つかりました
  {who:full}のおかげで、{whom:full}の{item}が見つかりました
  {whom:full}がなくした{item}を、{who:full}が届けてくれました
s.notice.found.more
  {whom}は[役場|駅|郵便局]で受け取ることができます
  落とし物は[三か月|半年|三十日]の間、お預かりします
  届けてくださった{who}に[お礼を申し上げます|感謝いたします]
  受け取りのときは[この紙|名前のわかるもの]をお持ちください
s.notice.win = win
  {place}で行われた{contest}は、{who:full}が優勝しました
  {contest}の一等は{who:full}でした
  {part}に{place}で開かれた{contest}で、{who:full}が一番になりました
  {who:full}が{place}の{contest}で優勝しました
  {contest}で一等賞を取ったのは{who:full}です
s.notice.win.more
  {who}は{years}歳で、{street}に住んでいます => person
  {who}は{job}で、「[夢のようです|うれしいです|皆さんのおかげです]」と話していました => person
  参加した方には[記念のリボン|小さな賞品|温かい飲み物]が配られました
  次の大会は[来月|暖かくなってから|二か月後に]開かれます
  賞品は[町長|去年の優勝者|一番小さなお客さま]から手渡されました
s.notice.weather = weather
  {part}は{sky}、気温は{degrees}度の見込みです
  {part}の天気は{sky}、{degrees}度です
  {part}は{sky}になるでしょう
  {part}の気温は{degrees}度、天気は{sky}です
  {part}には{sky}が予想されます
s.notice.advice
  お出かけのときは[暖かい服装で|傘を持って|足元に気をつけて|早めに]お出かけください
  [船は港にお戻しください|渡し船はいつもどおり動きます|学校の遠足は予定どおり行われます]
  [お年寄り|小さなお子さま]は[石段|坂道]にお気をつけください
  [ご近所にもお伝えください|次のお知らせは夕方です|どうぞよい一日を]
"""
