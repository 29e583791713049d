# ruff: noqa: E501 (tables and productions: a long entry is clearer on one line)
"""English verbs in the forms the productions need."""

import re

FORMS = ("past", "ing", "inf", "pp", "third")
"""bought, buying, buy, (had) bought, buys."""

_IRREGULAR = {
    "be": "was being been is", "buy": "bought buying bought buys", "bring": "brought bringing brought brings",
    "build": "built building built builds", "catch": "caught catching caught catches",
    "choose": "chose choosing chosen chooses", "come": "came coming come comes", "cut": "cut cutting cut cuts",
    "draw": "drew drawing drawn draws", "drink": "drank drinking drunk drinks", "drive": "drove driving driven drives",
    "drop": "dropped dropping dropped drops", "eat": "ate eating eaten eats", "feed": "fed feeding fed feeds",
    "feel": "felt feeling felt feels", "find": "found finding found finds", "get": "got getting got gets",
    "give": "gave giving given gives", "go": "went going gone goes", "have": "had having had has",
    "hang": "hung hanging hung hangs", "hear": "heard hearing heard hears", "keep": "kept keeping kept keeps",
    "know": "knew knowing known knows", "leave": "left leaving left leaves", "lose": "lost losing lost loses",
    "make": "made making made makes", "meet": "met meeting met meets", "pay": "paid paying paid pays",
    "put": "put putting put puts", "read": "read reading read reads", "ride": "rode riding ridden rides",
    "run": "ran running run runs", "run_into": "ran running run runs", "saw": "sawed sawing sawn saws",
    "do": "did doing done does", "wake": "woke waking woken wakes", "throw": "threw throwing thrown throws",
    "forget": "forgot forgetting forgotten forgets",
    "say": "said saying said says", "see": "saw seeing seen sees", "sell": "sold selling sold sells",
    "send": "sent sending sent sends", "set": "set setting set sets", "sing": "sang singing sung sings",
    "sit": "sat sitting sat sits", "speak": "spoke speaking spoken speaks", "spend": "spent spending spent spends",
    "stand": "stood standing stood stands", "sweep": "swept sweeping swept sweeps",
    "swim": "swam swimming swum swims", "take": "took taking taken takes", "teach": "taught teaching taught teaches",
    "tell": "told telling told tells", "win": "won winning won wins", "write": "wrote writing written writes",
    "knit": "knitted knitting knitted knits", "stop": "stopped stopping stopped stops",
    "chop": "chopped chopping chopped chops", "scrub": "scrubbed scrubbing scrubbed scrubs",
    "spot": "spotted spotting spotted spots", "mend": "mended mending mended mends", "dig": "dug digging dug digs",
    "lie": "lay lying lain lies", "slip": "slipped slipping slipped slips", "chat": "chatted chatting chatted chats",
    "let": "let letting let lets", "lend": "lent lending lent lends", "wrap": "wrapped wrapping wrapped wraps",
    "stir": "stirred stirring stirred stirs", "notice": "noticed noticing noticed notices",
    "unwrap": "unwrapped unwrapping unwrapped unwraps", "plan": "planned planning planned plans",
    "stroll": "strolled strolling strolled strolls", "begin": "began beginning begun begins",
    "shop": "shopped shopping shopped shops", "bump": "bumped bumping bumped bumps", "jog": "jogged jogging jogged jogs",
}  # fmt: skip


def inflect(verb: str, form: str) -> str:
    """The verb in a form; the empty verb gives the form's own name (for slots that hold a whole verb phrase)."""
    if not verb or form == "inf":
        return verb or form
    if verb in _IRREGULAR:
        return _IRREGULAR[verb].split()[("past", "ing", "pp", "third").index(form)]
    consonant_y = verb.endswith("y") and verb[-2] not in "aeiou"
    if form == "third":
        if consonant_y:
            return verb[:-1] + "ies"
        return verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "o")) else "s")
    if form == "ing":
        return (verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb) + "ing"
    if consonant_y:
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def phrase(text: str, form: str) -> str:
    """A verb phrase with its ~verbs in a form."""
    return re.sub(r"~([a-z]+)", lambda m: inflect(m.group(1), form), text)
