"""Japanese story sentences: openings, events alone and in pairs, remarks, endings."""

TEXT = """
t.story
  {who:full}の[一日|長い一日|忙しい一日|静かな一日|小さな出来事]
  {town}の{sky}の日
  {day}の{who}
  {who:full}、{part}から夜まで
  [いつもの|何でもない|よくある]{town}の一日
  {day:long}
  {street}の{who:full}
  {who}と過ごした一日
s.story.weather = weather
  {day}の{part}、{town}は{sky}だった
  その日の{part}は{sky}だった
  {day:long}、{town}の{part}は{sky}で、気温は{degrees}度だった
  {part}の気温は{degrees}度、天気は{sky}だった
  {town}の{part}は{sky}で始まった
  {sky}の{part}だった
  {part}から{sky}で、駅の温度計は{degrees}度を指していた
  {town}では{day}の{part}、{sky}になった
  {day}、{part}の{town}は{sky}だった
  この季節の{town}らしい{sky}の{part}だった
s.story.person = person
  {who:full}は{street}に住む{job}だ
  {street}に{who:full}という{job}が住んでいた
  {who:full}は{job}で、{trait}人だった
  {who:full}は{trait}人だと[町でも評判だった|近所の人は言う|みんなが知っていた]
  {street}の{family}家では、{who:full}が[もう起きていた|朝の支度をしていた|早起きをしていた]
  {who:full}は{years}歳で、{street}に家があった => person
  {who:full}は{birthyear}生まれの{job}だ
  {who:full}は{favourite}が好きで、{trait}人だった
  {who:full}は{colour}が好きな、{trait}人だ
  {street}で{who:full}を知らない人はいない
  {trait}人といえば、{street}の{who:full}だ
s.event
  {part:when}、{who}は<ta:1>
  {who}は{part:when}、<ta:1>
  {part}、{who}は<ta:1>
  {part}になると、{who}は<ta:1>
  {who}は{part}に<ta:1>
  {part}のうちに、{who}は<ta:1>
  {part}には、{who}は<ta:1>
  {who}が<ta:1>のは、{part}のことだった
  {part}が来て、{who}は<ta:1>
s.event.later
  やがて{part}になり、{who}は<ta:1>
  時間は過ぎて、{part}に{who}は<ta:1>
  {part}はまた別の用事で、{who}は<ta:1>
  それから{part}が来て、{who}は<ta:1>
  今度は{part}、{who}は<ta:1>
s.event.first
  {part:when}、{who:full}は<ta:1>
  {who:full}は{part}に<ta:1>
  {day}の{part}、{who:full}は<ta:1>
  {who:full}が<ta:1>のは、{day}の{part}だった
  {day}、{who:full}は<ta:1>
  {day}、{who:full}はまず<ta:1>
s.event.same
  <ta:1>
  [それから|そのあと|少しして|まもなく|続いて|次に|しばらくして]、<ta:1>
  [それから|そのあと|やがて|ついでに]{who}は<ta:1>
  {who}は<ta:1>
  まだ時間があったので、<ta:1>
  そのうえ、<ta:1>
  もう一つ用事があって、<ta:1>
  また、{who}は<ta:1>
  その足で、{who}は<ta:1>
s.two
  {part:when}、{who}は<te:1>、[それから|そのあと|]<ta:2>
  {part}、{who}は<te:1>から、<ta:2>
  {who}は{part}に<te:1>、<ta:2>
  {part}、<ta:1>あと、{who}は<ta:2>
  {part:when}、{who}は<ru:2>前に、<ta:1>
  {part}は忙しく、{who}は<te:1>、<ta:2>
  {who}は{part}、まず<te:1>、次に<ta:2>
  {part}のうちに、{who}は<te:1>、さらに<ta:2>
  {part}になって<ta:1>{who}は、続いて<ta:2>
s.two.same
  <te:1>、[それから|そのあと|]<ta:2>
  {who}は<te:1>、<ta:2>
  <ta:1>あと、{who}は<ta:2>
  <te:1>から、{who}は<ta:2>
  それから<te:1>、<ta:2>
  続いて<te:1>、さらに<ta:2>
  {who}は<ru:2>前に、<ta:1>
s.story.turn = weather
  {part}になると、{sky}になった
  {part}は{sky}だった
  {part}の気温は{degrees}度だった
  気がつくと、{part}は{sky}だった
  温度計は{degrees}度を指していた
  {part}の天気は{sky}で、気温は{degrees}度だった
  {sky}の{part}だったが、{who}は気にしなかった
s.story.end
  夜、{who}は[ぐっすり眠った|日記を少し書いた|早めに布団に入った|静かに一日を思い返した]
  こうして{who}の一日は終わった
  [よい一日だった|ふつうの一日だった|長い一日だった|忙しい一日だった]と、{who}は思った
  夕方は{sky}で、{who}は[早めに|ゆっくり|足取りも軽く]家へ帰った => weather(part=evening)
  {street}の家に着くと、{who}は[お茶を入れた|窓を閉めた|今日のことを話した|すぐに眠ってしまった] => person
  {street}に明かりがともるころ、{who}は家に帰った => person
  {who}は好物の{favourite}を食べて、一日を終えた => person
  [その日はもう何も起こらなかった|ほかに変わったことはなかった]
  夕方の気温は{degrees}度で、{who}は戸を静かに閉めた => weather(part=evening)
  明日も[いい日になりそうだ|早起きをしよう|忙しくなりそうだ]と、{who}は思った
  {day}は、{who}にとって[忘れられない|まずまずの|にぎやかな]一日になった
  {who}は夕食のとき、[楽しい|長い|いい]一日だったと話した
s.more.purchase = purchase
  {good}は{unit}で売られていた => purchase
  {good}の値段は{unit}だった
  全部で{yen}になった
  {who}は{yen}を払った
  店の人が[ていねいに包んでくれた|おまけをしてくれた|袋に入れてくれた]
  代金は{yen}だった
s.more.meet = meet
  {whom}は[急いでいた|元気そうだった|よく笑った|新しい話を知っていた]
  二人は[天気の話|昔の話|仕事の話|何でもない話]をした
  {whom}に会うのは[一週間ぶりだった|久しぶりだった]
  {whom}とは[店の前|門の前|曲がり角]で別れた
s.more.gift = gift
  {whom}は[とても喜んだ|目を丸くした|何度もお礼を言った|うれしそうに笑った]
  {whom}は前から{good}を欲しがっていた
s.more.lose = lose
  [あちこち探した|ベンチの下も見た|人にも聞いてみた]が、{item}は見つからなかった
  {item}がないのは困る
  だれかが{item}を見つけてくれるといい
s.more.find = find
  {whom}は[ほっとするだろう|きっと喜ぶだろう|ずっと探していたのだ]
  {item}は[少し汚れていた|ぬれていた|無事だった]
s.more.cook = cook
  {dish}の匂いが[台所|家じゅう|通り]に広がった
  {dish}は[おいしくできた|少し塩が足りなかった|みんなの分があった]
s.more.practise = practise
  [少しずつ|毎週|前よりも]上手になってきた
  時間はすぐに過ぎた
  {who}の一番好きな時間だ
s.more.read = read
  {book}は[途中でやめられない|少し悲しい|思ったよりおかしい|意外な]話だった
  {who}は{book}の[最初の章|最後の章]が気に入った
s.more.repair = repair
  {thing}は[何週間も|冬から|ずっと]壊れたままだった
  {thing}は前よりも調子がよくなった
s.more.plant = plant
  雨が降れば、{flower}はよく育つだろう
  {flower}が咲くのが楽しみだ
s.more.see = see
  {animal}は[逃げなかった|人を気にしなかった|じっとしていた]
  {animal}は毎日見られるものではない
s.more.work = work
  仕事は[大変だった|うまくいった|思ったより長くかかった|じきに終わった]
  その日はやることが多かった
s.more.eat = eat
  {food}は[おいしかった|甘かった|ちょうどいい味だった|すぐになくなった]
  もう一つ食べられそうだった
s.more.ill = ill
  温かいお茶で少し楽になった
  {who}は[明日には|じきに|週末までには]治るといいと思った
s.more.help = help
  {whom}一人では[できなかっただろう|終わらなかっただろう]
  {whom}は[何度もお礼を言った|お茶を入れてくれた|とても助かったようだった]
s.more.invite = invite
  {whom}は[すぐに行くと言った|喜んで約束した|少し考えてみると言った|手帳に日を書いた]
  {who}は{outing}を楽しみにしている
s.more.win = win
  みんなが[拍手した|歓声を上げた|握手を求めた]
  {who}は何週間も練習してきたのだ
  賞品は[小さなカップ|リボン|果物のかご]だった
s.more.walk = walk
  {petname}は[先に走っていった|ずっとしっぽを振っていた|鳩にほえた|帰りたがらなかった]
  {petname}は疲れて満足そうだった
s.more.travel = travel
  道のりは[思ったより遠かった|楽しかった|短く感じられた]
  {town2}は[思ったよりにぎやかだった|いつもどおりきれいだった|静かだった]
s.more.make = make
  [思ったより時間がかかった|根気のいる仕事だった|二度やり直した]
  前のものより[上手に|きれいに]できた
s.more.visit = visit
  そこは[静かだった|少し混んでいた|涼しくて気持ちがよかった]
  {who}は考えごとをするとき、よくそこへ行く
s.more.write = write
  ポストは[すぐ近くにある|通りの角にある]
  {whom}はきっと喜ぶだろう
s.more.tell = tell
  {whom}は[初めて聞いたようだった|うなずいた|笑った|首を振った|熱心に聞いていた]
"""
