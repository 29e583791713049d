"""Japanese dialogues: greetings, questions about facts, answers, remarks, farewells."""

TEXT = """
t.talk
  {place}での[会話|立ち話|おしゃべり]（{day}）
  {who:label}と{whom:label}、{place}にて
  {day:long}、{place}
  [{place}で|帰り道で|{street}で|お茶を飲みながら|待ち合わせのあいだに|用事の途中で]
s.talk.hello
  {whom}、[こんにちは|おはようございます|お久しぶりです]
  [あっ、|]{whom}、[ちょうどよかった|お元気ですか|いいところで会いました]
s.talk.request
  {whom}、[少し聞いてもいいですか|教えてほしいことがあるのですが|聞きたいことがあります]
  すみません、{whom}、[ちょっといいですか|お時間ありますか|一つ教えてください]
s.talk.hello2
  {whom}、[こんにちは|お元気そうですね]
  [こんにちは|おはようございます]、{whom}[、今日は早いですね|]
s.talk.request2
  [はい|ええ|もちろんです]、[何でしょう|何でも聞いてください]
  [どうぞ|いいですよ]、{whom}
  [はい|ええ]、私でわかることでしたら
s.ask.buy
  {who}は{place}で何を買いましたか
  {who}が{place}で何を買ったか、[知っていますか|覚えていますか]
  {day}に{who}が{place}で買ったものは何ですか
  {who}は{place}にいましたね、何を買ったのでしょう
s.ask.cost
  {who}は{good}を{count:of}買って、いくら払いましたか
  {who}が買った{count:of}の{good}は、全部でいくらでしたか
  {good}{count:of}に、{who}はいくら使ったのですか
s.ask.where
  {who}はどこで{good}を{count:of}買いましたか
  {who}が{good}を{count:of}持っていましたが、どこで買ったのでしょう
  {who}が{count:of}の{good}を買ったのは、どの店ですか
s.ask.met
  {who}は{place}でだれに会いましたか
  {who}が{place}で会ったのはだれですか
  {place}で{who}が会ったのは、どなたですか
s.ask.lost
  {who}は何をなくしたのですか
  {who}が困った顔をしていましたが、何をなくしたのですか
  {who}が{place}で落とし物をしたというのは、本当ですか
s.ask.won
  {contest}で優勝したのはだれですか
  {contest}はだれが一番でしたか
  {contest}の結果を知っていますか
s.ask.read
  {who}は{place}で何を読んでいましたか
  {who}が{place}で読んでいたのは、どの本ですか
  {place}で{who}が本を読んでいましたね、何という本ですか
s.ask.trip
  {who}は{vehicle}でどこへ行きましたか
  {who}が{vehicle}に乗ったそうですが、どこまで行ったのですか
  {who}が出かけたのは、どの町ですか
s.ask.cooked
  {who}は{part}に何を作りましたか
  {part}に{who}の家からいい匂いがしましたが、何だったのでしょう
  {part}の台所で、{who}は何を作ったのですか
s.ask.gift
  {who}は{whom}に何をあげましたか
  {whom}が{who}からもらったものは何ですか
  {who}の{whom}への贈り物は何でしたか
s.ask.job
  {who}のお仕事は何ですか
  {who}は何をしている人ですか
  {who}がどんな仕事をしているか、知っていますか
s.ask.street
  {who}はどこに住んでいますか
  {who}の家は何という通りにありますか
  {who}の家を知っていますか
s.ask.hobby
  {who}の趣味は何ですか
  {who}は暇なとき、何をしますか
  {who}が好きなことは何ですか
s.ask.favourite
  {who}の好物は何ですか
  {who}に何か持っていきたいのですが、何が好きでしょう
  {who}は何を食べるのが好きですか
s.ask.colour
  {who}の好きな色は何ですか
  {who}は何色が一番好きですか
  {who}に何か編みたいのですが、何色がいいでしょう
s.ask.pet
  {who}は何か飼っていますか
  {who}の{pet}は何という名前ですか
  {who}の家には{pet}がいますね、名前は何ですか
s.ask.partner
  {who}はだれと結婚していますか
  {who}の結婚相手はどなたですか
  {who}の夫か妻は、どなたですか
s.ask.birthday
  {who}の誕生日はいつですか
  {who}がいつ生まれたか、覚えていますか
  {who}に誕生日のカードを送るなら、いつですか
s.ask.hours
  {place}は何時に開きますか
  {place}の営業時間を教えてください
  {place}は何時まで開いていますか
s.ask.closed
  {place}の休みは何曜日ですか
  {place}は毎日開いていますか
  {place}はいつ休みですか
s.ask.place
  {place}はどこにありますか
  {place}は何という通りにありますか
  {place}を探しているのですが、どこでしょう
s.ask.owner
  {place}の主人はだれですか
  {place}はだれの店ですか
  {place}をやっているのは、どなたですか
s.ask.founded
  {place}はいつできましたか
  {place}はいつからあるのですか
  {place}ができたのは何年ですか
s.ask.author
  {book}を書いたのはだれですか
  {book}の作者を知っていますか
  {book}はいい本ですね、だれの本ですか
s.ask.price
  {place}の{good}は、今日はいくらですか
  {place}で{good}はいくらですか
  {good}がいるのですが、{place}ではいくらでしょう
s.ask.weather
  {part}の天気はどうでしたか
  {part}は何度でしたか
  {part}は外に出られる天気でしたか
s.ask.near
  {place2}から{place}へはどう行きますか
  {place}は{place2}からどのくらいですか
  {place}は{place2}のどちら側にありますか
s.ask.event
  {who}は{part}に何をしましたか
  {part}に{who}が何をしたか、[聞きましたか|知っていますか]
  {who}の話を何か聞きましたか
  {part}の{who}はどうしていましたか
s.answer.event
  {who}は<mashita:1>
  [たしか|聞いた話では|私の知るところでは|そうですね]、{who}は<mashita:1>
  {part}に<mashita:1>
  <mashita:1>よ
  <ta:1>と聞きました
s.answer.buy = purchase
  {good}を{count:of}買いました
  {good}を{count:of}です
  {good}を{count:of}買って、{yen}払いました
  {who}が買ったのは、{good}{count:of}です
s.answer.cost = purchase
  {yen}です
  {yen}払いました
  {unit}の品で、全部で{yen}です
  {yen}でした
s.answer.where = purchase
  {place}で買いました
  {place}です
  {place}で、{yen}で買ったそうです
s.answer.met = meet
  {whom}に会いました
  {whom:full}です
  {whom}でしたよ
s.answer.lost = lose
  {item}をなくしました
  {place}で{item}をなくしたそうです
  {item}です
s.answer.won = win
  {who:full}です
  優勝したのは{who:full}です
  {who}が一番でした
s.answer.read = read
  {book}です
  {book}を読んでいました
  たしか、{book}でした
s.answer.trip = travel
  {town2}へ行きました
  {town2}です
  {vehicle}で{town2}まで行きました
s.answer.cooked = cook
  {dish}を作りました
  {dish}です
  {dish}だったそうです
s.answer.gift = gift
  {good}をあげました
  {good}です
  {good}を渡したと聞きました
s.answer.job = person
  {job}です
  {who}は{job}ですよ
  {workplace}で働いている{job}です
s.answer.street = person
  {street}に住んでいます
  {street}です
  {family}さんの家なら、{street}ですよ
s.answer.hobby = person
  {hobby:ru}ことです
  よく{hobby:masu}
  {hobby:ru}のが好きです
s.answer.favourite = person
  {favourite}です
  {favourite}が好きですよ
  {favourite}なら喜ぶでしょう
s.answer.colour = person
  {colour}です
  {colour}が好きですよ
  一番好きなのは{colour}です
s.answer.pet = pet
  {petname}という{pet}を飼っています
  {pet}の{petname}です
  {petname}です、{pet}ですよ
s.answer.partner = partner
  {whom:full}です
  {whom:full}と結婚しています
  {whom}ですよ
s.answer.birthday = person
  {birthday}です
  誕生日は{birthday}です
  {birthyear}の{birthday}に生まれました
s.answer.hours = place
  {opens}から{closes}までです
  {opens}に開いて、{closes}に閉まります
  {closes}までです、開くのは{opens}です
s.answer.closed = place
  {weekday}が休みです
  {weekday}です
  {weekday}のほかは開いています
s.answer.place = place
  {street}にあります
  {street}と{avenue}の角です
  {street}です、{avenue}との角ですよ
s.answer.owner = owner
  {who:full}です
  {who:full}の店です
  {who:full}がやっています
s.answer.founded = place
  {founded}にできました
  {founded}からあります
  {founded}だそうです
s.answer.author = author
  {who:full}です
  {who:full}が書きました
  {who:full}の本ですよ
s.answer.price = price
  {yen}です
  {good}は{yen}です
  {yen}ですよ
s.answer.weather = weather
  {sky}で、{degrees}度でした
  {part}は{sky}でした、気温は{degrees}度です
  {sky}で、温度計は{degrees}度でした
s.answer.near = near
  {place}は{place2}から{side}へ{blocks}区画です
  {place2}から{side}へ{blocks}区画行ってください
  {side}へ{blocks}区画です
s.talk.react
  [そうですか|なるほど|ありがとうございます|知りませんでした|それはおもしろいですね|思ったとおりです]
  [本当ですか|そうなんですか]、[違うと思っていました|初めて聞きました]
  [覚えておきます|書いておきます|助かりました|よくわかりました]
  [へえ|おや]、[てっきり別だと思っていました|それは意外です]
s.talk.own
  {part}は<mashita:1>
  {who}は{part}に<mashita:1>
  私のほうは、{part}に<mashita:1>
s.talk.ask.own
  {whom}は{part}に何をしましたか
  {whom}の[一日|{part}]はどうでしたか
  {whom}は[今日|その日]、何をしていましたか
s.talk.bye
  ありがとうございました、{whom}[、また明日|、ではまた|]
  [もう行かないといけません|遅くなりました|バスが来ました]、[ありがとうございました|どうもありがとう]
  [よくわかりました|聞いてよかったです]、[どうもありがとう|ありがとうございます]
s.talk.bye2
  [さようなら|また会いましょう|お気をつけて|いつでもどうぞ]、{whom}
  [どういたしまして|いいえ、こちらこそ|お役に立ててよかったです]
  [お家の皆さまによろしく|よい{part}を|足元に気をつけて]
"""
