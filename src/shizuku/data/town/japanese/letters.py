"""Japanese letters: greetings, what I did, news of others, questions, farewells."""

TEXT = """
t.letter.date
  {day}
  {day:long}
  {town}にて、{day}
  {street}より、{day}
s.letter.hello
  {whom:name}へ
  {whom:full}へ
  {whom:name}、[こんにちは|お元気ですか]
  拝啓 {whom:name}
s.letter.open
  お元気ですか
  [お手紙|おはがき|先日のお便り]をありがとうございました
  [しばらくお便りをしませんでした|ごぶさたしております|お返事が遅くなりました]
  [少し時間ができたので|みんなが寝てしまったので|静かな夜なので]、手紙を書いています
  [お変わりありませんか|ご家族の皆さまもお元気でしょうか|お体の具合はいかがですか]
  {street}では[何も変わりません|みんな元気です|いつもどおりの毎日です] => person
  今日は短い手紙です
  お便りを読んで、とてもうれしくなりました
s.letter.weather = weather
  {part}は{sky}で、気温は{degrees}度でした
  こちらの{part}は{sky}でした
  {part}の気温は{degrees}度、天気は{sky}でした
  {part}は{sky}だったので、[家の近くにいました|あなたの町はどうだろうと思いました|のんびりできました]
  こちらは{part}に{degrees}度になり、{sky}でした
s.letter.event
  {part}は、<mashita:1>
  {part:when}、<mashita:1>
  {part}には<mashita:1>
  {part}になって、<mashita:1>
  {part}のことですが、<mashita:1>
  {part}はというと、<mashita:1>
s.letter.event.first
  今日、{who}は<mashita:1>
  {day}、{who}は<mashita:1>
  今日の{part}、<mashita:1>
  {part}、{who}は<mashita:1>
  今日はまず、<mashita:1>
s.letter.event.same
  [それから|そのあと|続いて|しばらくして]、<mashita:1>
  <mashita:1>
  また、<mashita:1>
  ついでに<mashita:1>
s.letter.two
  {part}は<te:1>、<mashita:2>
  {part}、<te:1>から、<mashita:2>
  {part:when}、<te:1>、それから<mashita:2>
  {part}、<ta:1>あと、<mashita:2>
  {part}は忙しく、<te:1>、<mashita:2>
s.letter.two.same
  それから<te:1>、<mashita:2>
  <ta:1>あとで、<mashita:2>
  <te:1>、そのあと<mashita:2>
s.letter.news
  [もう聞きましたか|ご存じですか]、<clause:1>そうです
  [聞いた話ですが|そういえば|ところで]、<clause:1>そうです
  <clause:1>と[みんなが話しています|近所の人が言っていました|聞きました]
  <clause:1>ことは、もう耳に入りましたか
  お知らせしたいのは、<clause:1>ことです
s.letter.price = price
  {place}では{good}が{yen}です
  {good}は{place}で{yen}になりました
  {place}の{good}は{yen}だそうです
  {good}がいるなら、{place}で{yen}で買えます
s.letter.about
  [この前の散歩|学校のころ|海で過ごした夏|お庭の花]のことを、[よく|ときどき|今でも]思い出します
  [お仕事|ご家族|最近]のことを聞かせてください
  [今度|休みに|雨の季節の前に]、ぜひ遊びに来てください
  家の皆さまによろしくお伝えください
  [来月はこちらにいらっしゃいますか|次はいつ会えるでしょうか|そのうちお茶でもいかがですか]
  [ひざ|目|手]はもうよくなりましたから、心配しないでください
  私の楽しみは、相変わらず{hobby:ru}ことです => person
s.letter.thanks = gift
  [先ほど|この前]は{good}をありがとうございました
  いただいた{good}は[机の上にあります|とてもすてきです|大切にします]
s.letter.bye
  [お体に気をつけて|どうぞお元気で|風邪などひかないように]、[お過ごしください|またお便りをください]
  [また|来週|何かあったら]書きます
  [今日はこのへんで|紙がなくなりましたので、このへんで|お湯がわいたので、このへんで]失礼します
  もう遅いので、おやすみなさい
  {street}から、心をこめて => person
  お返事を楽しみにしています
t.letter.sign
  {who:bare}
  {who:label}より
  {street} {who:bare}
  {who:bare}より
"""
