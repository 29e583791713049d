"""Japanese shop arithmetic: problems, questions, workings and answers."""

TEXT = """
t.sum
  [問題|計算の問題|お店の算数|買い物の計算]
  {place}の[問題|買い物]
  {good}の[値段|計算|買い物]
  {who}の買い物
s.sum.buy = purchase
  {who}は{place}で{good}を{count:of}買います
  {place}で、{who}は{good}を{count:of}買います
  {who}は{place}へ行って、{good}を{count:of}買います
  {who}は{good}が{count:of}いるので、{place}へ行きます
  {who:full}は{place}で{good}を{count:of}選びました
  {who}のかごには、{place}の{good}が{count:of}入っています
  {day}、{who}は{place}で{good}を{count:of}買います
  {who}が{place}で{count:of}の{good}を買います
s.sum.unit = price
  どの{good}も{yen}です
  {good}の値段は{yen}です
  値札によると、{good}は{yen}です
  {place}の{good}は{yen}です
  {good}は{yen}で売られています
  そこでは{good}を{yen}で売っています
s.sum.both = price
  {place}では、{good}が{yen}です
  {place}は{good}を{yen}で売っています
  {day}、{place}の{good}は{yen}です
  {good}は{place}では{yen}です
s.sum.both2 = price
  一方、{place}では{good}が{yen}です
  {good}は{place}にもあり、{yen}です
  {place}で買うと、{good}は{yen}です
s.sum.and
  {who}はさらに{total2}の{good2}も買います
  そのほかに、{total2}の{good2}もかごに入れます
  {good2}もいることを思い出し、{total2}のものを買います
  それから、{total2}の{good2}も一緒に買います
s.sum.pays
  {who}は{paid}を出しました
  {who}は財布から{paid}を出します
  {who}は{paid}を渡しました
  {who}は{paid}で払います
s.sum.share
  代金は{people:people}で同じだけ出し合います
  {people:people}で等しく分けて払います
  あとで、{people:people}で割り勘にします
s.ask.total
  全部でいくらになりますか
  {who}はいくら払いますか
  代金は全部でいくらでしょう
  合計は何円ですか
  何円用意すればよいでしょうか
  合計の値段を求めましょう
s.ask.change
  おつりはいくらですか
  いくら残りますか
  おつりは何円になるでしょう
  {who}はいくら返してもらいますか
s.ask.each
  一人いくらになりますか
  一人分は何円ですか
  一人が払うのは何円でしょう
s.ask.more
  二つの店の値段の差はいくらですか
  安いほうの店では何円得ですか
  どれだけ値段が違いますか
  差は何円でしょう
s.sum.times = times
  {count:digits} × {unit:digits} = {total:digits}
  [まず|式は]、{count:digits} × {unit:digits} = {total:digits}
  {unit}の品が{count:digits}つ分で{total}になります
  {unit:digits}に{count:digits}をかけると、{total:digits}です
  {unit}の{good}を{count:of}買うと、{total}です
s.sum.plus = plus
  {total:digits} + {total2:digits} = {total3:digits}
  [次に|合わせて]、{total:digits} + {total2:digits} = {total3:digits}
  {total}と{total2}を足すと、{total3}です
  {total}に{total2}を加えて{total3}です
s.sum.minus = minus
  {paid:digits} − {total:digits} = {change:digits}
  [そこで|次に]、{paid:digits} − {total:digits} = {change:digits}
  {paid}から{total}を引くと、{change}です
  {paid}で{total}を払うと、{change}残ります
s.sum.less = minus
  {paid:digits} − {total:digits} = {change:digits}
  式は、{paid:digits} − {total:digits} = {change:digits}
  {paid}から{total}を引くと、{change}です
  {paid}と{total}の差は{change}です
s.sum.divide = share
  {total:digits} ÷ {people:digits} = {each:digits}
  {total}を{people:people}で割ると、{each:money}です
  [次に|そこで]、{total:digits} ÷ {people:digits} = {each:digits}
s.sum.answer.total = purchase
  [答えは|合計は]、{yen}です
  {who}は{yen}払います
  全部で{yen}です
  代金は{yen}になります
  {yen}が答えです
s.sum.answer.sum
  [答えは|合計は]、{total3}です
  全部で{total3}です
  {who}は{total3}払います
s.sum.answer.change
  [答えは|おつりは]、{change}です
  {change}残ります
  {who}は{change}返してもらいます
  {change}が答えです
s.sum.answer.more
  [答えは|差は]、{change}です
  はじめの店のほうが{change}高いです
  二つ目の店なら{change}得です
  {change}違います
s.sum.answer.each
  [答えは|一人分は]、{each:money}です
  一人{each:money}ずつ払います
  {each:money}が一人分です
"""
