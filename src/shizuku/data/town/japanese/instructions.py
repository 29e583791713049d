"""Japanese instructions: recipes, directions, and how to do things."""

TEXT = """
t.recipe
  {dish}
  {dish}の[作り方|レシピ]
  [簡単な|わが家の]{dish}
s.recipe.first = dish
  {dish}は{minutes}分ほどで作れます
  {dish}の作り方をご紹介します => dish
  {dish}を作るには、{minutes}分みてください
  二人分の{dish}が{minutes}分でできます
  {minutes}分あれば、{dish}が作れます
  {dish}は[簡単です|どんな日にも合います|子どもに人気があります] => dish
t.recipe.list
  [材料|材料（二人分）|用意するもの]
t.recipe.item = needs
  ・{good} {count:of}
s.recipe.needs = needs
  {dish}には{good}を{count:of}使います
  {dish}のために、まず{good}を{count:of}用意します
  {dish}の材料は、{good}が{count:of}です
s.recipe.needs2 = needs
  {good}も{count:of}いります
  ほかに{good}を{count:of}用意してください
  {good}{count:of}も使います
s.recipe.shop = sold
  {good}は{place}で買えます
  {place}に行けば{good}があります
s.recipe.wash
  {good}を[よく|水で|ていねいに]洗います
  {good}の[皮をむきます|汚れを落とします]
  {good}を洗って、[水気を切ります|ざるに上げます]
s.recipe.cut
  {good}を[一口大に|薄く|細かく|同じ大きさに]切ります
  {good}を[切ります|刻みます|切り分けます]
  {good}を[半分に|さいの目に|細長く]切っておきます
s.recipe.open
  {good}を[手元に|こんろのそばに]用意します
  {good}を[必要なだけ量ります|小さな器に入れます]
  {good}は[早めに|始める前に]出しておきます
s.recipe.simmer
  材料を鍋に入れ、水を加えて火にかけます
  煮立ったら[弱火にして|火を弱めて]、[静かに|ふたをして]煮ます
  [ときどきあくを取ります|途中で味をみます|焦げないように混ぜます]
s.recipe.grill
  グリルを[よく|先に]温めておきます
  片面に焼き色がついたら、[裏返します|静かに返します]
  [両面に|食べる前に][塩を少し振ります|塩を振ります]
s.recipe.fry
  フライパンに[油を少し|油を]熱します
  [強火で|中火で]、混ぜながら全部を炒めます
  [塩|しょうゆ|こしょう]で味をつけ、[よく混ぜます|もう一度混ぜます]
s.recipe.mix
  全部を大きなボウルに入れます
  [やさしく|底から]混ぜ合わせます
  [塩を少々|レモンの汁を少し|好みの調味料を]加えて、しばらく置きます
s.recipe.bake
  オーブンを[先に|中くらいの温度に]温めます
  全部を[浅い|小さな]器に入れて、オーブンに入れます
  [焼き色がつくまで|甘い匂いがするまで|ふちが色づくまで]焼きます
s.recipe.time = dish
  {minutes}分で{dish}のできあがりです
  全部で{minutes}分ほどで、{dish}ができます
  始めてから{minutes}分でできあがります
s.recipe.end
  [早めに|すぐに|大皿に盛って|小さな器に盛って]召し上がってください
  [次の日はもっとおいしくなります|残りは明日まで持ちます]
  器に盛って、みんなを呼びましょう
t.way
  {start:plain}から{end:plain}まで
  {end:plain}への[行き方|道順]
  [道案内|歩き方]：{end:plain}
s.way.first
  {start}から{end}までの[行き方|道順]をご案内します
  {start}の前から{end}まで歩きます
  {start}から{end}へは、次のように行きます
  {end}は{start}からそれほど遠くありません
s.way.row = way
  {start}を出て、{street}を{side}へ{blocks}区画進みます
  まず、{start}から{street}を{side}に{blocks}区画歩きます
  {start}を背にして、{street}を{side}へ{blocks}区画行ってください
  {street}に沿って、{start}から{side}へ{blocks}区画です
s.way.column = way
  {avenue}に出たら、{side2}へ{blocks2}区画行くと{end}です
  {avenue}の角で{side2}に曲がり、{blocks2}区画歩くと{end}に着きます
  次に{avenue}を{side2}へ{blocks2}区画進むと、{end}があります
  そこから{avenue}を{side2}に{blocks2}区画で{end}です
s.way.corner = place
  {end}は{street}と{avenue}の角にあります
s.way.end
  {place}は{street}にあります => place
  [すぐにわかります|看板が目印です|迷ったら人に聞いてください|歩いて数分です]
  {place}は{opens}に開くので、早すぎないようにしてください => place
  {place}は{founded}からあり、古い看板が目印です => place
  {place}は{weekday}が休みなので、気をつけてください => place
t.how
  {topic}方法
  {topic}には
  上手に{topic}
  {topic}手順
s.how.first
  [だれでも|少し練習すれば、だれでも]{topic}ことができます
  {topic}方法を[ご紹介します|お教えします|説明します]
  {topic}ときは、[朝のうちに始めましょう|あわてないことが大切です|次のようにしてください]
s.how.step.first
  [まず|はじめに|最初に]、{step}
  {step}
s.how.step
  [次に|それから|そのあと|続いて]、{step}
  {step}
s.how.plain
  {step}
s.how.end
  [これで終わりです|これでできあがりです|あせらずにやりましょう|慣れれば簡単です|一度でできなくても、またやってみましょう]
  わからないことは、{job}の{who:full}に聞いてください => person
  このやり方は、{who:full}が[教えてくれました|町の子どもたちに教えたものです] => person
"""
