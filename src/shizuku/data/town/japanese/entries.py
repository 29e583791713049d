"""Japanese encyclopedia entries: people, places, goods, books, dishes."""

TEXT = """
t.entry.person
  {who:bare}
  {who:bare}（{birthyear}生まれ）
t.entry.place
  {place}
  {town}の{place}
t.entry.good
  {good}
  {town}の{good}
t.entry.book
  {book}
t.entry.dish
  {dish}
s.entry.person.first.born = person
  {who:bare}は{birthyear}{birthday}生まれの{job}である
  {who:bare}（{birthyear}{birthday}生まれ）は、{town}の{job}である
  {who:bare}は{birthyear}に生まれた{job}である
  {birthyear}{birthday}に生まれた{who:bare}は、{job}である
s.entry.person.first.street = person
  {who:bare}は{street}に住む{job}である
  {who:bare}は{street}の{family}家の一員で、{job}である
  {town}の{street}に、{job}の{who:bare}が住んでいる
  {street}に家のある{who:bare}は、{job}である
s.entry.person.first.job = person
  {who:bare}は{town}の{job}である
  {who:bare}は{job}として知られる
  {town}の{job}に{who:bare}がいる
s.entry.person.street = person
  住まいは{street}にある
  {street}に住んでいる
  家は{street}に面している
s.entry.person.born = person
  誕生日は{birthday}である
  {birthyear}に生まれた
  生まれたのは{birthyear}の{birthday}である
s.entry.person.trait = person
  {trait}人として知られる
  近所では{trait}人と[言われている|思われている|評判である]
  知人によれば、{trait}人である
s.entry.person.colour = person
  好きな色は{colour}である
  色の中では{colour}を一番好む
  {colour}の服をよく着る
s.entry.person.favourite = person
  好物は{favourite}である
  {favourite}に目がない
  食べ物では{favourite}を好む
s.entry.person.hobby = person
  趣味は{hobby:ru}ことである
  [休みの日には|暇なときには|夕方には]、よく{hobby:ru}
  {hobby:ru}のが楽しみだという
s.entry.person.work = person
  ふだんは{workplace}にいることが多い
  平日は{workplace}で過ごす
  平日は{workplace}で見かけられる
s.entry.partner = partner
  {whom:bare}と結婚している
  {who:bare}と{whom:bare}は夫婦である
  配偶者は{whom:bare}である
s.entry.child = child
  子に{whom:bare}がいる
  {whom:bare}は{who:bare}の子である
s.entry.parent = child
  {who:bare}の子である
  {who:bare}は親の一人である
s.entry.children = children
  子どもはいない => children(number=0)
s.entry.pet = pet
  {petname}という{pet}を飼っている
  家には{petname}という名の{pet}がいる
  {pet}の{petname}と暮らしている
s.entry.owner = owner
  {place}を営んでいる
  {place}の持ち主である
s.entry.author = author
  {book}を書いた
  著書に{book}がある
  {book}の作者でもある
s.entry.deed
  {day}、<ta:1>
  {day}には、{who:bare}が<ta:1>[という|ことが知られている|と伝えられる]
  {who:bare}は{day}に<ta:1>
  記録によれば、{day}に{who:bare}は<ta:1>
s.entry.place.first = place
  {place}は{town}の{street}にある
  {place}は、{street}と{avenue}が交わる角にある
  {town}の{place}は{street}にある
  {street}を歩くと、{avenue}との角に{place}が見える
  {place}は{town}の{street}に面している
s.entry.place.founded = place
  {founded}にできた
  {founded}から続いている
  その歴史は{founded}に始まる
s.entry.place.hours = place
  開くのは{opens}、閉まるのは{closes}である
  {opens}から{closes}まで開いている
  {opens}に開き、{closes}には閉まる
s.entry.place.closed = place
  {weekday}は休みである
  休みは{weekday}である
  {weekday}を除いて、{opens}に開く
s.entry.near = near
  {place}は{place2}の{blocks}区画{side}にある
  {place2}から{side}へ{blocks}区画行くと、{place}に着く
  {place2}から見て{side}の方角に{place}がある
  {place}は{place2}の{side}側にある
s.entry.place.owner = owner
  {place}の主人は{who:bare}である
  {who:bare}が店を営んでいる
  持ち主は{who:bare}である
s.entry.sold = sold
  {good}を売っている
  品物には{good}がある
  {place}では{good}も買える
  {good}はここで手に入る
s.entry.good.first = sold
  {good}は{town}の{place}で売られている
  {town}で{good}を買うなら{place}である
  {good}は{place}で手に入る
  {place}では{good}を売っている
s.entry.good.also = sold
  {good}は{place}でも売られている
  {place}でも{good}が買える
  {good}は{place}でも手に入る
s.entry.price = price
  {day}、{place}での{good}の値段は{yen}だった
  {place}の{good}は、{day}には{yen}だった
  {day}には、{good}が{place}で{yen}で売られていた
  {day}の{good}の値段は、{place}では{yen}だった
s.entry.needs = needs
  {dish}には{good}を{count:of}使う
  {dish}を作るには、{good}が{count:of}いる
  {good}{count:of}が{dish}の材料になる
s.entry.dish = dish
  {dish}は{minutes}分でできる
  作るのに{minutes}分かかる
  {dish}ができるまでの時間は{minutes}分である
s.entry.likes = person
  {who:bare}は{favourite}が好物である
  {favourite}が好きな人に{who:bare}がいる
  {who:bare}ほど{favourite}を好む人はいない
s.entry.bought
  {day}、{who:bare}は<ta:1>
  {who:bare}は{day}に<ta:1>
  例えば、{day}に{who:bare}は<ta:1>
s.entry.book.first = author
  {book}は{who:bare}の本である
  {book}は{town}の{who:bare}が書いた
  {book}の作者は{who:bare}である
s.entry.town = town
  {town}の人口は{residents:digits}人である
  {town}には{residents:digits}人が暮らしている
"""
