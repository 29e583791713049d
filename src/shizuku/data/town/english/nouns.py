# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""English words for what a town is made of."""

GOODS = {
    "bread": "loaf of bread,loaves of bread", "roll": "bread roll", "melon_bread": "melon bun",
    "bean_bun": "bean bun", "croissant": "croissant", "sandwich": "sandwich,sandwiches", "apple": "apple",
    "tangerine": "tangerine", "pear": "pear", "peach": "peach,peaches", "melon": "melon", "carrot": "carrot",
    "onion": "onion", "potato": "potato,potatoes", "cabbage": "cabbage", "radish": "white radish,white radishes",
    "pumpkin": "pumpkin", "cucumber": "cucumber", "tomato": "tomato,tomatoes", "eggplant": "eggplant",
    "leek": "leek", "lemon": "lemon", "mushrooms": "box of mushrooms,boxes of mushrooms",
    "mackerel": "mackerel,mackerel", "sardine": "sardine", "bream": "sea bream,sea bream", "squid": "squid,squid",
    "salmon": "slice of salmon,slices of salmon", "clams": "bag of clams,bags of clams",
    "eggs": "box of eggs,boxes of eggs", "milk": "bottle of milk,bottles of milk",
    "rice": "bag of rice,bags of rice", "tofu": "block of tofu,blocks of tofu",
    "soy_sauce": "bottle of soy sauce,bottles of soy sauce", "honey": "jar of honey,jars of honey",
    "jam": "jar of jam,jars of jam", "cheese": "piece of cheese,pieces of cheese",
    "juice": "bottle of juice,bottles of juice", "noodles": "packet of noodles,packets of noodles",
    "butter": "stick of butter,sticks of butter", "sugar": "bag of sugar,bags of sugar",
    "miso": "tub of miso,tubs of miso", "green_tea": "tin of green tea,tins of green tea",
    "black_tea": "tin of black tea,tins of black tea", "teacup": "teacup", "teapot": "teapot",
    "picture_book": "picture book", "magazine": "magazine", "cookbook": "cookbook", "map": "map",
    "postcard": "postcard", "notebook": "notebook", "pencil": "pencil", "eraser": "eraser", "pen": "pen",
    "paintbrush": "paintbrush,paintbrushes", "envelopes": "pack of envelopes,packs of envelopes",
    "ruler": "ruler", "tulip": "tulip", "rose": "rose", "sunflower": "sunflower", "lily": "lily,lilies",
    "herbs": "pot of herbs,pots of herbs", "chrysanthemum": "chrysanthemum", "hammer": "hammer",
    "nails": "box of nails,boxes of nails", "rope": "coil of rope,coils of rope", "bucket": "bucket",
    "lantern": "lantern", "broom": "broom", "candle": "candle", "paint": "tin of paint,tins of paint",
    "rice_cake": "rice cake", "dango": "skewer of dango,skewers of dango",
    "castella": "slice of sponge cake,slices of sponge cake", "pudding": "custard pudding",
    "cookies": "bag of cookies,bags of cookies", "chocolate": "bar of chocolate,bars of chocolate",
    "kite": "kite", "top": "spinning top", "ball": "ball", "puzzle": "puzzle", "doll": "doll",
    "toy_train": "toy train", "scarf": "scarf,scarves", "hat": "hat", "gloves": "pair of gloves,pairs of gloves",
    "socks": "pair of socks,pairs of socks", "apron": "apron", "towel": "towel", "umbrella": "umbrella",
}  # fmt: skip
"""Good -> singular, or singular and plural where the plural is not made with -s."""
PLACES = {
    "bakery": "the bakery", "greengrocer": "the greengrocer's", "fishmonger": "the fishmonger's",
    "grocery": "the grocery", "tea_shop": "the tea shop", "bookshop": "the bookshop",
    "stationer": "the stationer's", "florist": "the flower shop", "hardware": "the hardware store",
    "sweet_shop": "the sweet shop", "toy_shop": "the toy shop", "clothes_shop": "the clothes shop",
    "station": "the station", "library": "the library", "school": "the school", "park": "the park",
    "shrine": "the shrine", "clinic": "the clinic", "post_office": "the post office", "town_hall": "the town hall",
    "bathhouse": "the bathhouse", "museum": "the museum", "harbour": "the harbour", "cafe": "the café",
    "noodle_bar": "the noodle bar", "workshop": "the workshop", "bus_depot": "the bus depot",
    "community_hall": "the community hall",
}  # fmt: skip
IN_PLACES = frozenset({"park", "library", "museum", "workshop", "community_hall"})
"""Places one is in, not at."""
JOBS = {
    "teacher": "a teacher", "cook": "a cook", "waiter": "a waiter", "nurse": "a nurse", "doctor": "a doctor",
    "librarian": "a librarian", "bus_driver": "a bus driver", "mail_carrier": "a mail carrier",
    "fisher": "a fisher", "carpenter": "a carpenter", "potter": "a potter", "clerk": "a clerk",
    "stationmaster": "a railway worker", "gardener": "a gardener", "curator": "a museum guide",
    "bath_keeper": "a bath keeper", "boatbuilder": "a boatbuilder", "shopkeeper": "a shopkeeper",
    "pupil": "a pupil", "retired": "a pensioner",
}  # fmt: skip
HOBBIES = {
    "flute": "~play the flute", "drum": "~play the drum", "piano": "~play the piano", "guitar": "~play the guitar",
    "painting": "~paint pictures", "calligraphy": "~practise calligraphy", "knitting": "~knit",
    "fishing": "~fish from the pier", "gardening": "~work in the garden", "chess": "~play chess",
    "photography": "~take photographs", "cycling": "~ride a bicycle", "swimming": "~swim",
    "origami": "~fold paper animals", "singing": "~sing", "stargazing": "~look at the stars through a telescope",
    "birdwatching": "~watch birds", "baking": "~bake small cakes", "running": "~run along the river",
    "woodcarving": "~carve wood", "poetry": "~write short poems", "juggling": "~juggle", "stamps": "~sort stamps",
    "dancing": "~dance",
}  # fmt: skip
TASKS = {
    "teach_rivers": "~teach a class about rivers", "teach_fractions": "~teach a class about fractions",
    "mark_tests": "~mark a pile of tests", "teach_song": "~teach the children a new song",
    "make_broth": "~cook a large pot of broth", "roll_noodles": "~roll out fresh noodles",
    "scrub_pots": "~scrub all the big pots", "wipe_tables": "~wipe the tables", "serve_lunch": "~serve lunch to many guests",
    "roast_coffee": "~roast a bag of coffee beans", "bandage_knee": "~bandage a child's knee",
    "check_records": "~check the patients' records", "give_shots": "~help with the flu shots",
    "see_patients": "~see one patient after another", "visit_sick": "~visit sick people at home",
    "shelve_books": "~put the returned books back on the shelves", "read_aloud": "~read a story aloud to small children",
    "mend_books": "~mend torn pages", "drive_hill_route": "~drive the bus up the hill and back",
    "wash_bus": "~wash the bus", "drive_coast_route": "~drive the bus along the coast",
    "deliver_letters": "~deliver letters on every street", "sort_parcels": "~sort the parcels",
    "stamp_postcards": "~stamp a stack of postcards", "pull_nets": "~pull in the nets", "mend_nets": "~mend the nets",
    "clean_boat": "~clean the boat", "build_shelf": "~build a shelf", "plane_boards": "~plane some long boards",
    "fix_door": "~fix a door that would not close", "fire_kiln": "~fire the kiln", "throw_bowls": "~shape bowls on the wheel",
    "glaze_plates": "~glaze a row of plates", "answer_calls": "~answer the telephone at the desk",
    "file_papers": "~file papers", "count_votes": "~count votes", "check_clocks": "~check the station clocks",
    "sweep_platform": "~sweep the platform", "sell_tickets": "~sell tickets at the window",
    "prune_trees": "~prune the trees", "rake_leaves": "~rake the leaves", "water_beds": "~water the flower beds",
    "dust_cases": "~dust the glass cases", "guide_class": "~guide a class around the museum",
    "label_stones": "~write labels for old stones", "heat_water": "~heat the water for the baths",
    "fold_towels": "~fold the towels", "scrub_tiles": "~scrub the tiles", "saw_planks": "~saw planks for a new boat",
    "paint_hull": "~paint the side of a boat", "test_boat": "~try out a boat in the bay",
    "arrange_shelves": "~arrange the shelves of the shop", "sweep_shopfront": "~sweep in front of the shop",
    "count_money": "~count the money in the till", "write_signs": "~write new price signs",
    "air_bedding": "~air the bedding", "play_shogi": "~play board games with the neighbours",
    "tell_old_tales": "~tell the children old tales", "do_sums": "~do sums", "practise_writing": "~practise handwriting",
    "clean_classroom": "~clean the classroom with the others", "run_relay": "~run in the relay",
}  # fmt: skip
CHORES = {
    "carry_boxes": "~carry some heavy boxes", "wash_windows": "~wash the windows", "pull_weeds": "~pull weeds",
    "clean_kitchen": "~clean the kitchen", "move_desk": "~move a desk", "feed_cat": "~feed a stray cat",
    "hang_washing": "~hang out the washing", "chop_wood": "~chop firewood", "shell_beans": "~shell beans",
    "sweep_yard": "~sweep the yard",
}  # fmt: skip
ITEMS = {
    "key": "key", "umbrella_i": "umbrella", "glove": "glove", "wallet": "wallet", "notebook_i": "notebook",
    "hat_i": "hat", "ring": "ring", "watch": "watch", "handkerchief": "handkerchief", "basket": "basket",
    "glasses": "reading lens", "toy_boat": "toy boat", "lunch_box": "lunch box", "bag": "bag",
}  # fmt: skip
BROKEN = {
    "bicycle": "bicycle", "clock": "kitchen clock", "radio": "radio", "gate": "garden gate", "chair": "chair",
    "roof": "shed roof", "fence": "fence", "kite_b": "paper kite", "lamp": "lamp", "shelf": "shelf",
    "bench": "bench", "wheelbarrow": "wheelbarrow",
}  # fmt: skip
ANIMALS = {
    "heron": "heron", "fox": "fox,foxes", "squirrel": "squirrel", "swallow": "swallow", "frog": "frog",
    "crow": "crow", "deer": "deer,deer", "butterfly": "butterfly,butterflies", "duck": "duck",
    "turtle_a": "turtle", "owl": "owl", "kingfisher": "kingfisher",
}  # fmt: skip
CRAFTS = {
    "paper_crane": "a paper crane", "stool": "a small stool", "clay_bowl": "a clay bowl",
    "wooden_spoon": "a wooden spoon", "bookmark": "a bookmark", "birdhouse": "a birdhouse",
    "mitten": "a pair of mittens", "paper_lantern": "a paper lantern", "kite_c": "a kite", "basket_c": "a bamboo basket",
}  # fmt: skip
OUTINGS = {
    "picnic": "a picnic", "fireworks": "the fireworks", "fishing_trip": "a fishing trip", "concert": "a concert",
    "tea_party": "a tea party", "flower_viewing": "an evening under the trees", "chess_evening": "an evening of chess",
    "hike": "a hike", "film": "a film", "market_stroll": "a stroll through the market",
}  # fmt: skip
CONTESTS = {
    "relay_race": "the relay race", "chess_cup": "the chess cup", "pie_contest": "the pie contest",
    "kite_contest": "the kite contest", "quiz_night": "the quiz", "swimming_race": "the swimming race",
    "poetry_reading": "the poetry prize", "pumpkin_weighing": "the pumpkin weighing",
}  # fmt: skip
ILLNESS = {
    "cold": "a cold", "headache": "a headache", "fever": "a fever", "sore_throat": "a sore throat",
    "stomach_ache": "a stomach ache", "sprained_ankle": "a sprained ankle",
}  # fmt: skip
BOOKS = {
    "lamp_hill": "The Lamp on the Hill", "rain_clock": "The Rain Clock", "fox_letters": "Letters from a Fox",
    "sea_stairs": "Stairs to the Sea", "paper_moon": "Paper Moon", "last_ferry": "The Last Ferry",
    "thousand_spoons": "A Thousand Spoons", "winter_bees": "Winter Bees", "map_of_wind": "A Map of the Wind",
    "blue_door": "The Blue Door", "grandmother_radio": "Grandmother's Radio", "island_school": "The Island School",
    "quiet_drum": "The Quiet Drum", "salt_road": "The Salt Road",
}  # fmt: skip
DISHES = {
    "vegetable_stew": "vegetable stew", "miso_soup": "miso soup", "pumpkin_soup": "pumpkin soup", "curry": "curry",
    "grilled_mackerel": "grilled mackerel", "salmon_foil": "salmon baked in foil", "fried_noodles": "noodle stir-fry",
    "omelette": "tomato omelette", "eggplant_miso": "eggplant with miso", "tomato_salad": "tomato salad",
    "potato_salad": "potato salad", "fruit_salad": "fruit salad", "clam_broth": "clam broth",
    "squid_stew": "squid stew", "baked_apples": "apple bake", "peach_tart": "peach tart",
}  # fmt: skip
TRAITS = {
    "cheerful": "cheerful", "quiet": "quiet", "patient": "patient", "curious": "curious", "careful": "careful",
    "kind": "kind", "lively": "lively", "honest": "honest", "shy": "shy", "stubborn": "stubborn",
    "thoughtful": "thoughtful", "busy": "hard-working",
}  # fmt: skip
SKIES = {
    "sunny": "sunny/bright", "cloudy": "cloudy/grey", "rainy": "rainy/wet", "windy": "windy/breezy",
    "foggy": "foggy/misty", "snowy": "snowy/white with snow",
}  # fmt: skip
