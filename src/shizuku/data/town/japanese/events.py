"""Japanese verb phrases for everything that can happen; the subject stands outside."""

TEXT = """
vp.purchase = purchase
  {place}で{good}を{count:of}~買う
  {place}で{count:of}の{good}を~買う
  {place}に寄って、{good}を{count:of}~買う
  {place}へ行き、{good}を{count:of}~選ぶ
  {yen}を払って、{place}で{good}を{count:of}~買う
  {good}を{count:of}、{place}で~買い求める
  {place}で{good}を{count:of}、全部で{yen}で~買う
  {place}で{good}に{yen}を~使う
  {place}まで{good}を買いに~行く
  {place}で{good}を見つけて、{count:of}~買う
  {place}で{good}を{count:of}~手に入れる
  {place}の店先で{good}を{count:of}~選ぶ
vp.meet = meet
  {place}で{whom}に~会う
  {place}で[ばったり|偶然]{whom}に~会う
  {place}で{whom}と[しばらく|長いこと|少し|楽しく]~話す
  {place}で{whom}を~見かける
  {place}で{whom}と~待ち合わせる
  {place}で{whom}と[三十分ほど|一時間ほど|静かな時間を]~過ごす
  {whom}と{place}で[おしゃべりを|立ち話を]~する
  {place}のそばで{whom}と~出会う
vp.gift = gift
  {whom}に{good}を~あげる
  {whom}に{good}を[そっと|笑顔で|紙に包んで|お礼に]~渡す
  {whom}に{good}を~贈る
  {good}を持って、{whom}を~訪ねる
  {whom}の家に{good}を~届ける
  {whom}を喜ばせようと、{good}を~贈る
vp.lose = lose
  {place}で{item}を~なくす
  {place}に{item}を~忘れる
  {place}[のあたり|のどこか|]で{item}を~落とす
  {place}に{item}を[うっかり|]~置き忘れる
vp.find = find
  {place}で{whom}の{item}を~見つける
  {place}で{whom}がなくした{item}を~見つける
  {place}で{whom}の{item}を~拾う
  {place}に落ちていた{whom}の{item}を[無事に|]~届ける
  {whom}が{place}に忘れた{item}を~見つける
vp.cook = cook
  {dish}を~作る
  [家族のために|二人分の|台所で|近所の人に|はじめて]{dish}を~作る
  {dish}を[じっくり|手早く|ていねいに|たっぷり|一人で]~こしらえる
  {dish}の新しい作り方を~試す
  台所に立って、{dish}を~作る
vp.practise = practise
  {hobby:v}
  [一時間ほど|三十分ほど|しばらく|夢中になって|いつものように|のんびりと]{hobby:v}
  少し時間ができたので、{hobby:v}
vp.tell = tell
  {whom}に、<clause:news>と~話す
  {whom}に、<clause:news>ことを~伝える
  {whom}に、<clause:news>と~教える
  <clause:news>と、{whom}に~知らせる
clause.self =
  自分が<ta:self>
clause.that =
  {who}が<ta:self>
vp.read = read
  {place}で{book}を~読む
  {place}で{book}を[数ページ|終わりまで|一章だけ|ゆっくり|夢中で]~読む
  {place}に座って、{book}を~読む
  {place}で{book}を~読み始める
  {place}で{book}を読みながら[一時間ほど|静かに]~過ごす
vp.repair = repair
  {thing}を~直す
  [壊れた|古い]{thing}を[元どおりに|きれいに|苦労して|器用に|]~直す
  道具箱を出して、{thing}を~修理する
  {thing}を[元どおりに|しっかりと|手間をかけて]~直す
vp.plant = plant
  {spot}{flower}を[ていねいに|]~植える
  土を掘って、{spot}{flower}を~植える
  {flower}を{spot}~植える
  {flower}を~植える
  {spot}穴を掘り、{flower}を~植える
vp.see = see
  {place}で{animal}を{number:of}~見る
  {place}で{number:of}の{animal}を~見かける
  {place}で{animal}を{number:of}~見つける
  {place}で足を止め、{number:of}の{animal}を~眺める
  {place}で{number:of}の{animal}を写真に~撮る
  {place}で{animal}を{number:of}~数える
vp.work = work
  {task:v}
  [休まずに|いつものように|張り切って|ていねいに|黙々と|朝からの続きで]{task:v}
  仕事に取りかかり、{task:v}
vp.eat = eat
  {place}で{food}を~食べる
  {place}に座って、{food}を~食べる
  {place}で{food}を[ゆっくり|おいしそうに|一口ずつ|残さず|あっという間に]~食べる
  {place}で一休みして、{food}を~食べる
  {place}で包みを開け、{food}を~食べる
  おなかがすいたので、{place}で{food}を~食べる
vp.ill = ill
  {illness}で[一日中|]家で~休む
  {illness}のため、[外に出ずに|布団で|家で静かに]~寝る
  {illness}がひどくて、[家で|布団の中で]一日を~過ごす
  {illness}で仕事も遊びも~休む
vp.help = help
  {whom}を手伝って、{chore:v}
  {whom}に頼まれて、{chore:v}
  {whom}の家で{chore:v}
  {whom}と一緒に{chore:v}
  困っていた{whom}のために、{chore:v}
vp.invite = invite
  {whom}を{outing}に~誘う
  {whom}に{outing}へ行こうと~誘いかける
  {whom}と{outing}の約束を~する
  {whom}と{outing}の相談を~する
vp.win = win
  {place}で行われた{contest}で~優勝する
  {place}で開かれた{contest}で一番に~なる
  {place}の{contest}で一等賞を~取る
  {place}の{contest}で[見事に|みんなが驚く中、|わずかな差で]~優勝する
vp.walk = walk
  {place}で{petname}を~散歩させる
  {petname}を連れて、{place}を~歩く
  {petname}と{place}を~走り回る
  {place}で{petname}と~遊ぶ
vp.travel = travel
  {vehicle}で{town2}へ~行く
  {vehicle}に乗って、{town2}まで~出かける
  {town2}まで{vehicle}で[用事に|買い物に|友だちに会いに|]~出かける
  {vehicle}で{town2}を~訪ねる
vp.make = make
  {craft}を~作る
  [手作業で|台所の机で|余り物で|贈り物に|祭りのために|一人で]{craft}を~作る
  {craft}を[上手に|ようやく|きれいに|苦労して]~仕上げる
  作りかけの{craft}を~完成させる
vp.visit = visit
  {place}に[ふらりと|久しぶりに|一人で|ちょっと|]~立ち寄る
  {place}まで[ゆっくり|のんびり|]~歩く
  {place}へ~行く
  {place}で[しばらく|静かに|のんびり]~過ごす
  気分転換に{place}を~訪ねる
vp.write = write
  {whom}に[手紙|はがき|短い手紙|長い手紙|お礼の手紙]を~書く
  {whom}に[手紙|はがき|カード]を~送る
  机に向かって、{whom}への[手紙|返事]を~書く
"""
