# ruff: noqa: E501, SIM905, C408, RUF005 (tables: a list of words reads best as words)
# fmt: off
"""What a town can be made of: keys, prices and kinds, in no language (the words are in the languages' rooms)."""

FEMALE = (
    "haruka mina yui sakura hana aoi emi nao rin mei yuka kaori chie tomoko keiko sachiko fumiko akiko yoko noriko "
    "midori natsumi ayaka miho kana misaki nanami momoka honoka riko mayu saki shiori asami mariko yukari izumi "
    "chiharu kotone wakana hiroko setsuko kyoko masako michiko tamaki ritsuko hinata ema suzu kozue megumi nozomi "
    "hikari kasumi tsubaki ayumi eriko reiko kiyoko sumire mizuki chika maki rumi satomi yoshie hatsue aki"
).split()
MALE = (
    "ken taro haruto yuto sota daichi kaito ren riku takumi shota kenta ryo jun makoto hiroshi takashi satoru osamu "
    "minoru isamu shigeru kazuo masao yoshio tadashi akira susumu tetsuo koji shinji yuji kenji goro jiro saburo "
    "naoki hideki tomoya tatsuya kazuya daisuke keisuke shunsuke ryota yusuke hayato itsuki sosuke minato asahi haru "
    "tsubasa hibiki nagi gen eiji shoji noboru mamoru wataru kiyoshi toru atsushi fumio haruo ichiro kota manabu shin"
).split()
FAMILIES = (
    "mori hayashi tanaka suzuki sato ito yamada kobayashi nakamura ono ishii fujita ogawa aoki ueda harada kubo "
    "matsui noda okada endo kondo sakai taniguchi miyake iwata hoshino nishida kitamura takagi yokota shimizu "
    "murakami hirano sugawara kawai arai ota maeda fukuda morita uchida kaneko nagai asano yano"
).split()

TOWNS = "minase hoshimi aokawa tsukishiro harugaoka sunahama kazamori yunoki".split()
STREETS = "willow lantern harbour temple mill".split()
"""East-west streets, from south to north."""
AVENUES = "cherry station river maple school hill".split()
"""North-south avenues, from west to east."""

# Shop kind -> its goods with the usual price in yen.
SHOPS: dict[str, dict[str, int]] = {
    "bakery": dict(bread=280, roll=90, melon_bread=160, bean_bun=150, croissant=190, sandwich=320),
    "greengrocer": dict(
        apple=130, tangerine=60, pear=180, peach=220, melon=900, carrot=50, onion=50, potato=40, cabbage=190,
        radish=170, pumpkin=320, cucumber=60, tomato=110, eggplant=90, leek=120, lemon=120, mushrooms=180,
    ),
    "fishmonger": dict(mackerel=280, sardine=110, bream=780, squid=350, salmon=240, clams=420),
    "grocery": dict(
        eggs=230, milk=200, rice=2100, tofu=110, soy_sauce=330, honey=780, jam=460, cheese=390, juice=180,
        noodles=140, butter=420, sugar=250, miso=380,
    ),
    "tea_shop": dict(green_tea=860, black_tea=720, teacup=640, teapot=2400),
    "bookshop": dict(picture_book=1300, magazine=580, cookbook=1600, map=450, postcard=80),
    "stationer": dict(notebook=160, pencil=70, eraser=90, pen=180, paintbrush=340, envelopes=220, ruler=150),
    "florist": dict(tulip=180, rose=320, sunflower=250, lily=380, herbs=420, chrysanthemum=210),
    "hardware": dict(hammer=1500, nails=260, rope=480, bucket=540, lantern=1900, broom=760, candle=120, paint=980),
    "sweet_shop": dict(rice_cake=140, dango=110, castella=260, pudding=210, cookies=350, chocolate=150),
    "toy_shop": dict(kite=880, top=340, ball=460, puzzle=1250, doll=1900, toy_train=2200),
    "clothes_shop": dict(scarf=1800, hat=2300, gloves=1400, socks=520, apron=1600, towel=650, umbrella=1200),
}
# Some goods are sold in a second shop too, where they cost something else.
ALSO_SOLD: dict[str, tuple[str, ...]] = {
    "grocery": ("apple", "onion", "potato", "green_tea", "candle", "bread", "chocolate"),
    "florist": ("candle", "postcard"),
    "stationer": ("postcard", "map"),
    "sweet_shop": ("black_tea", "jam"),
    "hardware": ("umbrella", "gloves", "towel"),
    "bookshop": ("notebook", "pen", "puzzle"),
}
GOODS: dict[str, str] = {good: shop for shop, goods in SHOPS.items() for good in goods}
"""Every good and the kind of shop it belongs to."""
FOODS = tuple(
    g for s in ("bakery", "sweet_shop") for g in SHOPS[s]
) + ("apple", "tangerine", "pear", "peach")
GIFTS = (
    "melon", "honey", "jam", "green_tea", "black_tea", "teacup", "picture_book", "cookbook", "postcard", "pen",
    "rose", "lily", "sunflower", "lantern", "cookies", "castella", "kite", "top", "puzzle", "scarf", "hat", "towel",
    "apron", "umbrella", "notebook", "herbs",
)
PUBLIC = (
    "station", "library", "school", "park", "shrine", "clinic", "post_office", "town_hall", "bathhouse", "museum",
    "harbour", "cafe", "noodle_bar", "workshop", "bus_depot", "community_hall",
)
OUTDOORS = ("park", "shrine", "harbour", "station")
MEETING = ("park", "library", "station", "cafe", "shrine", "harbour", "post_office", "museum", "bathhouse", "noodle_bar")
SIGHTS = ("station", "library", "shrine", "park", "bathhouse", "museum", "harbour")

# Job -> kind of workplace.
JOBS: dict[str, str] = {
    "teacher": "school", "cook": "noodle_bar", "waiter": "cafe", "nurse": "clinic", "doctor": "clinic",
    "librarian": "library", "bus_driver": "bus_depot", "mail_carrier": "post_office", "fisher": "harbour",
    "carpenter": "workshop", "potter": "workshop", "clerk": "town_hall", "stationmaster": "station",
    "gardener": "park", "curator": "museum", "bath_keeper": "bathhouse", "boatbuilder": "harbour",
}
TASKS: dict[str, tuple[str, ...]] = {
    "teacher": ("teach_rivers", "teach_fractions", "mark_tests", "teach_song"),
    "cook": ("make_broth", "roll_noodles", "scrub_pots"),
    "waiter": ("wipe_tables", "serve_lunch", "roast_coffee"),
    "nurse": ("bandage_knee", "check_records", "give_shots"),
    "doctor": ("see_patients", "visit_sick", "check_records"),
    "librarian": ("shelve_books", "read_aloud", "mend_books"),
    "bus_driver": ("drive_hill_route", "wash_bus", "drive_coast_route"),
    "mail_carrier": ("deliver_letters", "sort_parcels", "stamp_postcards"),
    "fisher": ("pull_nets", "mend_nets", "clean_boat"),
    "carpenter": ("build_shelf", "plane_boards", "fix_door"),
    "potter": ("fire_kiln", "throw_bowls", "glaze_plates"),
    "clerk": ("answer_calls", "file_papers", "count_votes"),
    "stationmaster": ("check_clocks", "sweep_platform", "sell_tickets"),
    "gardener": ("prune_trees", "rake_leaves", "water_beds"),
    "curator": ("dust_cases", "guide_class", "label_stones"),
    "bath_keeper": ("heat_water", "fold_towels", "scrub_tiles"),
    "boatbuilder": ("saw_planks", "paint_hull", "test_boat"),
    "shopkeeper": ("arrange_shelves", "sweep_shopfront", "count_money", "write_signs"),
    "retired": ("air_bedding", "play_shogi", "tell_old_tales"),
    "pupil": ("do_sums", "practise_writing", "clean_classroom", "run_relay"),
}
HOBBIES = (
    "flute", "drum", "piano", "guitar", "painting", "calligraphy", "knitting", "fishing", "gardening", "chess",
    "photography", "cycling", "swimming", "origami", "singing", "stargazing", "birdwatching", "baking", "running",
    "woodcarving", "poetry", "juggling", "stamps", "dancing",
)
TRAITS = "cheerful quiet patient curious careful kind lively honest shy stubborn thoughtful busy".split()
COLOURS = "red blue green yellow white purple orange pink brown grey".split()
PETS: dict[str, tuple[str, ...]] = {
    "dog": ("pochi", "shiro", "hachi", "koro", "sora"),
    "cat": ("tama", "mike", "kuro", "nene", "fuku"),
    "rabbit": ("mimi", "yuki", "pyon"),
    "bird": ("pii", "chiro"),
    "turtle": ("kame", "noro"),
}
ITEMS = "key umbrella_i glove wallet notebook_i hat_i ring watch handkerchief basket glasses toy_boat lunch_box bag".split()
BROKEN = "bicycle clock radio gate chair roof fence kite_b lamp shelf bench wheelbarrow".split()
ANIMALS = "heron fox squirrel swallow frog crow deer butterfly duck turtle_a owl kingfisher".split()
CHORES = "carry_boxes wash_windows pull_weeds clean_kitchen move_desk feed_cat hang_washing chop_wood shell_beans sweep_yard".split()
CRAFTS = "paper_crane stool clay_bowl wooden_spoon bookmark birdhouse mitten paper_lantern kite_c basket_c".split()
OUTINGS = "picnic fireworks fishing_trip concert tea_party flower_viewing chess_evening hike film market_stroll".split()
CONTESTS = "relay_race chess_cup pie_contest kite_contest quiz_night swimming_race poetry_reading pumpkin_weighing".split()
ILLNESS = "cold headache fever sore_throat stomach_ache sprained_ankle".split()
DESTINATIONS = "kitahama otsuka midorino shirasaka tsuruoka".split()
VEHICLES = "bus train bicycle ferry".split()
BOOKS = (
    "lamp_hill", "rain_clock", "fox_letters", "sea_stairs", "paper_moon", "last_ferry", "thousand_spoons",
    "winter_bees", "map_of_wind", "blue_door", "grandmother_radio", "island_school", "quiet_drum", "salt_road",
)
# Dish -> ingredients with amounts for two, minutes, method.
DISHES: dict[str, tuple[dict[str, int], int, str]] = {
    "vegetable_stew": (dict(potato=3, carrot=2, onion=1), 40, "simmer"),
    "miso_soup": (dict(tofu=1, leek=1), 15, "simmer"),
    "pumpkin_soup": (dict(pumpkin=1, onion=1, milk=1), 35, "simmer"),
    "curry": (dict(potato=3, carrot=1, onion=2), 45, "simmer"),
    "grilled_mackerel": (dict(mackerel=2, radish=1, lemon=1), 20, "grill"),
    "salmon_foil": (dict(salmon=2, mushrooms=1, butter=1), 25, "grill"),
    "fried_noodles": (dict(noodles=2, cabbage=1, carrot=1), 15, "fry"),
    "omelette": (dict(eggs=1, tomato=1, cheese=1), 12, "fry"),
    "eggplant_miso": (dict(eggplant=3, miso=1), 18, "fry"),
    "tomato_salad": (dict(tomato=3, cucumber=2, onion=1), 10, "mix"),
    "potato_salad": (dict(potato=4, cucumber=1, eggs=1), 25, "mix"),
    "fruit_salad": (dict(apple=1, pear=1, tangerine=3), 10, "mix"),
    "clam_broth": (dict(clams=1, leek=1), 20, "simmer"),
    "squid_stew": (dict(squid=1, radish=1), 50, "simmer"),
    "baked_apples": (dict(apple=4, butter=1, sugar=1), 40, "bake"),
    "peach_tart": (dict(peach=3, eggs=1, butter=1), 60, "bake"),
}
SPOTS = "gate door behind path corner fence_s wall well".split()
"""Where in a garden something is planted."""
SKIES = "sunny cloudy rainy windy foggy snowy".split()
PARTS = "morning noon afternoon evening".split()
