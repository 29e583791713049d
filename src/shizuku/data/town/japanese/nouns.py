"""Japanese words for what a town is made of."""

FEMALE = (
    "春香 美奈 結衣 さくら 花 葵 恵美 奈央 凛 芽衣 由香 香織 千恵 智子 恵子 幸子 文子 明子 陽子 典子 みどり 夏美 彩香 "
    "美穂 加奈 美咲 七海 桃香 ほのか 莉子 真由 早紀 詩織 麻美 真理子 ゆかり いずみ 千春 琴音 若菜 弘子 節子 京子 雅子 "
    "美智子 環 律子 ひなた 絵麻 すず 梢 めぐみ のぞみ ひかり かすみ つばき 歩美 絵里子 玲子 清子 すみれ 瑞希 千佳 真紀 "
    "留美 里美 芳江 初枝 亜紀"
).split()
MALE = (
    "健 太郎 陽斗 悠斗 颯太 大地 海斗 蓮 陸 匠 翔太 健太 涼 淳 誠 弘 隆 悟 おさむ みのる 勇 茂 和夫 正男 義雄 ただし "
    "あきら 進 哲夫 浩二 真司 裕二 賢治 五郎 次郎 三郎 直樹 秀樹 智也 達也 和也 大輔 圭介 俊介 亮太 祐介 隼人 樹 蒼介 湊 "
    "朝日 晴 翼 響 凪 げん 英二 昭二 登 守 渉 清 透 篤 文雄 春男 一郎 航太 まなぶ しん"
).split()
FAMILIES = (
    "森 林 田中 鈴木 佐藤 伊藤 山田 小林 中村 小野 石井 藤田 小川 青木 上田 原田 久保 松井 野田 岡田 遠藤 近藤 酒井 谷口 "
    "三宅 岩田 星野 西田 北村 高木 横田 清水 村上 平野 菅原 河合 新井 太田 前田 福田 森田 内田 金子 永井 浅野 矢野"
).split()
TOWNS = "水無瀬 星見 青川 月城 春ヶ丘 砂浜 風森 柚木".split()
STREETS = "柳通り 提灯通り 港通り 寺通り 水車通り".split()
AVENUES = "桜通り 駅前通り 川沿い通り 楓通り 学校通り 坂上通り".split()
PETNAMES = {
    "pochi": "ポチ", "shiro": "シロ", "hachi": "ハチ", "koro": "コロ", "sora": "ソラ", "tama": "タマ", "mike": "ミケ",
    "kuro": "クロ", "nene": "ネネ", "fuku": "フク", "mimi": "ミミ", "yuki": "ユキ", "pyon": "ピョン", "pii": "ピー",
    "chiro": "チロ", "kame": "カメ", "noro": "ノロ",
}  # fmt: skip
GOODS = {
    "bread": "食パン,斤", "roll": "ロールパン,個", "melon_bread": "メロンパン,個", "bean_bun": "あんパン,個",
    "croissant": "クロワッサン,個", "sandwich": "サンドイッチ,個", "apple": "りんご,個", "tangerine": "みかん,個",
    "pear": "梨,個", "peach": "桃,個", "melon": "メロン,個", "carrot": "にんじん,本", "onion": "玉ねぎ,個",
    "potato": "じゃがいも,個", "cabbage": "キャベツ,個", "radish": "大根,本", "pumpkin": "かぼちゃ,個",
    "cucumber": "きゅうり,本", "tomato": "トマト,個", "eggplant": "なす,本", "leek": "ねぎ,本", "lemon": "レモン,個",
    "mushrooms": "きのこ,パック", "mackerel": "さば,匹", "sardine": "いわし,匹", "bream": "鯛,匹", "squid": "いか,杯",
    "salmon": "鮭の切り身,切れ", "clams": "あさり,袋", "eggs": "卵,パック", "milk": "牛乳,本", "rice": "お米,袋",
    "tofu": "豆腐,丁", "soy_sauce": "しょうゆ,本", "honey": "はちみつ,瓶", "jam": "ジャム,瓶", "cheese": "チーズ,個",
    "juice": "ジュース,本", "noodles": "麺,袋", "butter": "バター,箱", "sugar": "砂糖,袋", "miso": "みそ,個",
    "green_tea": "緑茶,缶", "black_tea": "紅茶,缶", "teacup": "湯のみ,個", "teapot": "急須,個", "picture_book": "絵本,冊",
    "magazine": "雑誌,冊", "cookbook": "料理の本,冊", "map": "地図,枚", "postcard": "絵はがき,枚", "notebook": "ノート,冊",
    "pencil": "鉛筆,本", "eraser": "消しゴム,個", "pen": "ペン,本", "paintbrush": "絵筆,本", "envelopes": "封筒,袋",
    "ruler": "定規,本", "tulip": "チューリップ,本", "rose": "ばら,本", "sunflower": "ひまわり,本", "lily": "ゆり,本",
    "herbs": "ハーブの鉢,鉢", "chrysanthemum": "菊,本", "hammer": "金づち,本", "nails": "くぎ,箱", "rope": "ロープ,本",
    "bucket": "バケツ,個", "lantern": "ランタン,個", "broom": "ほうき,本", "candle": "ろうそく,本", "paint": "ペンキ,缶",
    "rice_cake": "大福,個", "dango": "団子,本", "castella": "カステラ,切れ", "pudding": "プリン,個",
    "cookies": "クッキー,袋", "chocolate": "板チョコ,枚", "kite": "凧,枚", "top": "こま,個", "ball": "ボール,個",
    "puzzle": "パズル,個", "doll": "人形,体", "toy_train": "おもちゃの汽車,台", "scarf": "マフラー,本", "hat": "帽子,個",
    "gloves": "手袋,組", "socks": "靴下,足", "apron": "エプロン,枚", "towel": "タオル,枚", "umbrella": "傘,本",
}  # fmt: skip
"""Good -> noun and counter."""
PLACES = {
    "bakery": "パン屋", "greengrocer": "八百屋", "fishmonger": "魚屋", "grocery": "食料品店", "tea_shop": "お茶屋",
    "bookshop": "本屋", "stationer": "文房具屋", "florist": "花屋", "hardware": "金物屋", "sweet_shop": "お菓子屋",
    "toy_shop": "おもちゃ屋", "clothes_shop": "洋品店", "station": "駅", "library": "図書館", "school": "学校",
    "park": "公園", "shrine": "神社", "clinic": "診療所", "post_office": "郵便局", "town_hall": "役場",
    "bathhouse": "銭湯", "museum": "資料館", "harbour": "港", "cafe": "喫茶店", "noodle_bar": "そば屋",
    "workshop": "工房", "bus_depot": "バスの車庫", "community_hall": "公民館",
}  # fmt: skip
JOBS = {
    "teacher": "先生", "cook": "料理人", "waiter": "喫茶店の店員", "nurse": "看護師", "doctor": "医者",
    "librarian": "司書", "bus_driver": "バスの運転手", "mail_carrier": "郵便配達員", "fisher": "漁師",
    "carpenter": "大工", "potter": "陶芸家", "clerk": "役場の職員", "stationmaster": "駅員", "gardener": "庭師",
    "curator": "資料館の案内人", "bath_keeper": "銭湯の番台", "boatbuilder": "船大工", "shopkeeper": "店の主人",
    "pupil": "小学生", "retired": "隠居の身",
}  # fmt: skip
HOBBIES = {
    "flute": "笛を~吹く", "drum": "太鼓を~たたく", "piano": "ピアノを~弾く", "guitar": "ギターを~弾く",
    "painting": "絵を~描く", "calligraphy": "書道を~する", "knitting": "編み物を~する", "fishing": "桟橋で釣りを~する",
    "gardening": "庭の手入れを~する", "chess": "将棋を~指す", "photography": "写真を~撮る", "cycling": "自転車に~乗る",
    "swimming": "~泳ぐ", "origami": "折り紙を~折る", "singing": "歌を~歌う", "stargazing": "望遠鏡で星を~見る",
    "birdwatching": "鳥を~観察する", "baking": "小さなケーキを~焼く", "running": "川沿いを~走る",
    "woodcarving": "木を~彫る", "poetry": "短い詩を~書く", "juggling": "お手玉を~する", "stamps": "切手を~整理する",
    "dancing": "踊りを~踊る",
}  # fmt: skip
TASKS = {
    "teach_rivers": "川についての授業を~する", "teach_fractions": "分数の授業を~する", "mark_tests": "テストの採点を~する",
    "teach_song": "子どもたちに新しい歌を~教える", "make_broth": "大きな鍋でだしを~とる", "roll_noodles": "そばを~打つ",
    "scrub_pots": "大きな鍋を全部~洗う", "wipe_tables": "テーブルを~拭く", "serve_lunch": "大勢の客に昼食を~出す",
    "roast_coffee": "コーヒー豆を~煎る", "bandage_knee": "子どものひざに包帯を~巻く", "check_records": "患者の記録を~確かめる",
    "give_shots": "予防注射を~手伝う", "see_patients": "次々に患者を~診る", "visit_sick": "病人の家を~回る",
    "shelve_books": "返された本を棚に~戻す", "read_aloud": "小さな子どもたちに本を~読み聞かせる", "mend_books": "破れたページを~直す",
    "drive_hill_route": "坂の上までバスを~走らせる", "wash_bus": "バスを~洗う", "drive_coast_route": "海沿いにバスを~走らせる",
    "deliver_letters": "通りという通りに手紙を~配る", "sort_parcels": "小包を~仕分ける", "stamp_postcards": "はがきの山に消印を~押す",
    "pull_nets": "網を~引き上げる", "mend_nets": "網を~繕う", "clean_boat": "船を~掃除する", "build_shelf": "棚を~こしらえる",
    "plane_boards": "長い板に鉋を~かける", "fix_door": "閉まらない戸を~直す", "fire_kiln": "窯に火を~入れる",
    "throw_bowls": "ろくろで茶碗を~作る", "glaze_plates": "皿に釉薬を~塗る", "answer_calls": "窓口で電話に~答える",
    "file_papers": "書類を~整理する", "count_votes": "票を~数える", "check_clocks": "駅の時計を~確かめる",
    "sweep_platform": "ホームを~掃く", "sell_tickets": "窓口で切符を~売る", "prune_trees": "木の枝を~切る",
    "rake_leaves": "落ち葉を~集める", "water_beds": "花壇に水を~やる", "dust_cases": "展示ケースのほこりを~払う",
    "guide_class": "子どもたちに館内を~案内する", "label_stones": "古い石の札を~書く", "heat_water": "風呂の湯を~沸かす",
    "fold_towels": "タオルを~たたむ", "scrub_tiles": "タイルを~磨く", "saw_planks": "新しい船の板を~ひく",
    "paint_hull": "船べりにペンキを~塗る", "test_boat": "湾で船を~試す", "arrange_shelves": "店の棚を~整える",
    "sweep_shopfront": "店の前を~掃く", "count_money": "売り上げを~数える", "write_signs": "新しい値札を~書く",
    "air_bedding": "布団を~干す", "play_shogi": "近所の人と碁を~打つ", "tell_old_tales": "子どもたちに昔話を~語り聞かせる",
    "do_sums": "計算の練習を~する", "practise_writing": "漢字を~練習する", "clean_classroom": "みんなで教室を~掃除する",
    "run_relay": "リレーで~走る",
}  # fmt: skip
CHORES = {
    "carry_boxes": "重い箱を~運ぶ", "wash_windows": "窓を~拭く", "pull_weeds": "草を~むしる",
    "clean_kitchen": "台所を~掃除する", "move_desk": "机を~動かす", "feed_cat": "のら猫にえさを~やる",
    "hang_washing": "洗濯物を~干す", "chop_wood": "薪を~割る", "shell_beans": "豆のさやを~むく", "sweep_yard": "庭を~掃く",
}  # fmt: skip
ITEMS = {
    "key": "鍵", "umbrella_i": "傘", "glove": "手袋", "wallet": "財布", "notebook_i": "手帳", "hat_i": "帽子",
    "ring": "指輪", "watch": "腕時計", "handkerchief": "ハンカチ", "basket": "かご", "glasses": "虫めがね",
    "toy_boat": "おもちゃの船", "lunch_box": "弁当箱", "bag": "かばん",
}  # fmt: skip
BROKEN = {
    "bicycle": "自転車", "clock": "台所の時計", "radio": "ラジオ", "gate": "庭の門", "chair": "いす", "roof": "物置の屋根",
    "fence": "垣根", "kite_b": "大きな凧", "lamp": "電灯", "shelf": "棚", "bench": "長いす", "wheelbarrow": "手押し車",
}  # fmt: skip
ANIMALS = {
    "heron": "さぎ,羽", "fox": "きつね,匹", "squirrel": "りす,匹", "swallow": "つばめ,羽", "frog": "かえる,匹",
    "crow": "からす,羽", "deer": "鹿,頭", "butterfly": "ちょう,匹", "duck": "かも,羽", "turtle_a": "亀,匹",
    "owl": "ふくろう,羽", "kingfisher": "かわせみ,羽",
}  # fmt: skip
CRAFTS = {
    "paper_crane": "折り鶴", "stool": "小さな腰かけ", "clay_bowl": "土の茶碗", "wooden_spoon": "木のさじ",
    "bookmark": "しおり", "birdhouse": "巣箱", "mitten": "毛糸の手袋", "paper_lantern": "紙の提灯", "kite_c": "凧",
    "basket_c": "竹かご",
}  # fmt: skip
OUTINGS = {
    "picnic": "ピクニック", "fireworks": "花火", "fishing_trip": "釣り", "concert": "音楽会", "tea_party": "お茶会",
    "flower_viewing": "花見", "chess_evening": "将棋の会", "hike": "山歩き", "film": "映画", "market_stroll": "朝市",
}  # fmt: skip
CONTESTS = {
    "relay_race": "駅伝", "chess_cup": "将棋大会", "pie_contest": "パイ作り大会", "kite_contest": "凧揚げ大会",
    "quiz_night": "クイズ大会", "swimming_race": "水泳大会", "poetry_reading": "詩の朗読会",
    "pumpkin_weighing": "かぼちゃの重さ比べ",
}  # fmt: skip
ILLNESS = {
    "cold": "風邪", "headache": "頭痛", "fever": "熱", "sore_throat": "のどの痛み", "stomach_ache": "腹痛",
    "sprained_ankle": "足首のねんざ",
}  # fmt: skip
BOOKS = {
    "lamp_hill": "『丘の上のランプ』", "rain_clock": "『雨の時計』", "fox_letters": "『きつねからの手紙』",
    "sea_stairs": "『海への階段』", "paper_moon": "『紙の月』", "last_ferry": "『最後の渡し船』",
    "thousand_spoons": "『千本のさじ』", "winter_bees": "『冬の蜂』", "map_of_wind": "『風の地図』",
    "blue_door": "『青い扉』", "grandmother_radio": "『祖母のラジオ』", "island_school": "『島の学校』",
    "quiet_drum": "『静かな太鼓』", "salt_road": "『塩の道』",
}  # fmt: skip
DISHES = {
    "vegetable_stew": "野菜の煮込み", "miso_soup": "豆腐のみそ汁", "pumpkin_soup": "かぼちゃのスープ", "curry": "カレー",
    "grilled_mackerel": "さばの塩焼き", "salmon_foil": "鮭のホイル焼き", "fried_noodles": "焼きそば",
    "omelette": "トマト入りオムレツ", "eggplant_miso": "なすのみそ炒め", "tomato_salad": "トマトサラダ",
    "potato_salad": "ポテトサラダ", "fruit_salad": "フルーツサラダ", "clam_broth": "あさりの吸い物",
    "squid_stew": "いかと大根の煮物", "baked_apples": "焼きりんご", "peach_tart": "桃のタルト",
}  # fmt: skip
TRAITS = {
    "cheerful": "明るい", "quiet": "物静かな", "patient": "我慢強い", "curious": "好奇心の強い", "careful": "慎重な",
    "kind": "親切な", "lively": "元気な", "honest": "正直な", "shy": "恥ずかしがりの", "stubborn": "頑固な",
    "thoughtful": "思いやりのある", "busy": "働き者の",
}  # fmt: skip
TOWNS2 = {"kitahama": "北浜", "otsuka": "大塚", "midorino": "緑野", "shirasaka": "白坂", "tsuruoka": "鶴岡"}
VEHICLES = {"bus": "バス", "train": "電車", "bicycle": "自転車", "ferry": "渡し船"}
PETS = {"dog": "犬", "cat": "猫", "rabbit": "うさぎ", "bird": "小鳥", "turtle": "亀"}
COLOURS = {
    "red": "赤", "blue": "青", "green": "緑", "yellow": "黄色", "white": "白", "purple": "紫", "orange": "だいだい色",
    "pink": "桃色", "brown": "茶色", "grey": "灰色",
}  # fmt: skip
