"""Productions that write sentences from facts and read the facts back out of sentences.

A grammar is text. A line at the margin opens a rule: `name`, or `name = kind, kind(role=value)` when what
it writes states records of those kinds, or `name =` when its roles are its own business and nothing is
stated. The indented lines under it are its alternatives, all equally likely; `=> kind` at an
alternative's end replaces the rule's kinds.

    [a|b|]        one of these, all equally likely
    {role:form}   the value of a role, put into words by the language; the role's name types it
                  ({role:v}: a value that is a whole verb phrase, in the rule's verb form)
    <rule>        another rule about the same roles
    <form:key>    the rule `form.KIND` about the record that stands under `key`
    ~verb         an inflected verb: a rule `vp.KIND` becomes one rule `form.KIND` for each verb form

The same nodes write (`emit`) and read (`match`), so whatever the writer can say the reader accepts.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from shizuku.data.town.facts import KINDS, PERSONS, Statement, Value

Item = tuple[str, Value] | Statement
"""What reading yields: a role with its value, or a whole statement."""
Reading = tuple[int, tuple[Item, ...]]
"""Where a reading ends, and what it says."""
Env = Mapping[str, Any]
"""Role -> value; a key of a nested record -> (kind, roles)."""


class Voice(Protocol):
    """What emits need of the writer: choices, and the language's words in their context."""

    def option(self, n: int) -> int:
        """A choice among n."""

    def say(self, role: str, form: str, env: Env) -> str:
        """A role's value in words."""

    def rule(self, name: str) -> "Rule":
        """The rule of a name."""


class Reader(Protocol):
    """What matches need of the parser: the text, and memory of what was read where."""

    text: str

    def slot(self, role: str, form: str, position: int) -> list[Reading]:
        """The readings of a slot."""

    def rules(self, name: str, position: int) -> list[Reading]:
        """The readings of a rule, or of all rules of a form when the name ends in a dot."""


class Literal:
    """Fixed text."""

    __slots__ = ("needs", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.needs: frozenset[str] = frozenset()

    def emit(self, env: Env, voice: Voice, out: list[str]) -> None:
        out.append(self.text)

    def match(self, reader: Reader, position: int) -> list[Reading]:
        return [(position + len(self.text), ())] if reader.text.startswith(self.text, position) else []


class Slot:
    """A role's value in words."""

    __slots__ = ("form", "needs", "role")

    def __init__(self, role: str, form: str) -> None:
        self.role, self.form = role, form
        self.needs = frozenset({role})

    def emit(self, env: Env, voice: Voice, out: list[str]) -> None:
        out.append(voice.say(self.role, self.form, env))

    def match(self, reader: Reader, position: int) -> list[Reading]:
        return reader.slot(self.role, self.form, position)


class Ref:
    """Another rule, about the same roles or about a nested record."""

    __slots__ = ("key", "name", "needs")

    def __init__(self, name: str, key: str | None) -> None:
        self.name, self.key = name, key
        self.needs = frozenset({key}) if key else frozenset()

    def emit(self, env: Env, voice: Voice, out: list[str]) -> None:
        if self.key is None:
            voice.rule(self.name).emit(env, voice, out)
        else:
            kind, roles = env[self.key]
            voice.rule(f"{self.name}.{kind}").emit(roles, voice, out)

    def match(self, reader: Reader, position: int) -> list[Reading]:
        return reader.rules(self.name if self.key is None else f"{self.name}.", position)


class Choice:
    """One of several sequences."""

    __slots__ = ("_fitting", "needs", "options")

    def __init__(self, options: list["Sequence"]) -> None:
        self.options = options
        self.needs: frozenset[str] = frozenset.intersection(*(option.needs for option in options))
        self._fitting: dict[tuple[str, ...], list[Sequence]] | None = None
        if any(option.needs != self.needs for option in options):
            self._fitting = {}

    def fitting(self, env: Env) -> list["Sequence"]:
        """The options whose roles are all there."""
        if self._fitting is None:
            return self.options
        key = tuple(env)
        found = self._fitting.get(key)
        if found is None:
            found = self._fitting[key] = [o for o in self.options if o.needs.issubset(key)]
        return found

    def emit(self, env: Env, voice: Voice, out: list[str]) -> None:
        options = self.fitting(env)
        options[voice.option(len(options))].emit(env, voice, out)

    def match(self, reader: Reader, position: int) -> list[Reading]:
        return [reading for option in self.options for reading in option.match(reader, position)]


class Sequence:
    """Nodes one after another."""

    __slots__ = ("needs", "nodes")

    def __init__(self, nodes: list["Node"]) -> None:
        self.nodes = nodes
        self.needs: frozenset[str] = frozenset().union(*(node.needs for node in nodes))

    def emit(self, env: Env, voice: Voice, out: list[str]) -> None:
        for node in self.nodes:
            node.emit(env, voice, out)

    def match(self, reader: Reader, position: int) -> list[Reading]:
        states: list[Reading] = [(position, ())]
        for node in self.nodes:
            following: dict[Reading, None] = {}
            for place, items in states:
                for end, more in node.match(reader, place):
                    following[end, items + more] = None
            if not following:
                return []
            states = list(following)
        return states


Node = Literal | Slot | Ref | Choice
Start = frozenset[str] | tuple[str, str] | None
"""What a text has to begin with: one of these characters, a reading of this slot, or (None) anything."""


def start_of(sequence: Sequence) -> Start:
    """What everything that the sequence can write begins with; it spares the reader most alternatives."""
    if not sequence.nodes:
        return None
    node = sequence.nodes[0]
    if isinstance(node, Literal):
        return frozenset(node.text[0])
    if isinstance(node, Slot):
        return node.role, node.form
    if isinstance(node, Choice):
        characters: set[str] = set()
        for option in node.options:
            start = start_of(option)
            if not isinstance(start, frozenset):
                return None
            characters |= start
        return frozenset(characters)
    return None


Kinds = tuple[tuple[str, tuple[tuple[str, Value], ...]], ...]


class Alternative:
    """One production of a rule and the kinds of records it states (None: it is part of its caller)."""

    __slots__ = ("body", "is_top", "kinds", "start")

    def __init__(self, body: Sequence, kinds: Kinds | None, is_top: bool) -> None:
        self.body, self.kinds, self.is_top, self.start = body, kinds, is_top, start_of(body)

    def match(self, reader: Reader, position: int) -> list[Reading]:
        readings = self.body.match(reader, position)
        if self.kinds is None:
            return readings
        stated = ((end, self._state(items)) for end, items in readings)
        return [(end, items) for end, items in stated if items is not None]

    def _state(self, items: tuple[Item, ...]) -> tuple[Item, ...] | None:
        """Make statements of the roles read here; statements read below take the roles that they lack."""
        roles = unify(item for item in items if isinstance(item, tuple))
        if roles is None:
            return None
        statements = [item for item in items if isinstance(item, Statement)]
        completed = [complete(statement, roles) for statement in statements]
        for kind, fixed in self.kinds or ():
            own = {
                role: value
                for role, value in roles.items()
                if role in KINDS[kind] or role == "day" or role[-1] == "#"
            }
            completed.append(Statement(kind, tuple(sorted({**own, **dict(fixed)}.items()))))
        if self.is_top:  # what the text has named by now is needed to understand its pronouns and its dates
            return (*completed, *(pair for pair in roles.items() if pair[0] in PERSONS or pair[0] == "day"))
        return tuple(replace(s, sealed=True) for s in completed) if not self.kinds else tuple(completed)


class Rule(Choice):
    """A named choice among alternatives."""

    __slots__ = ("alternatives", "name")

    def __init__(self, name: str, alternatives: list[Alternative]) -> None:
        super().__init__([alternative.body for alternative in alternatives])
        self.name, self.alternatives = name, alternatives

    def match(self, reader: Reader, position: int) -> list[Reading]:
        found: dict[Reading, None] = {}
        for alternative in self.alternatives:
            for reading in alternative.match(reader, position):
                found[reading] = None
        return list(found)


def is_pronoun(value: Value) -> bool:
    """Whether a value stands for somebody named elsewhere ("?f" she, "?m" he, "?I", "?you")."""
    return isinstance(value, str) and value.startswith("?")


def unify(pairs: Iterator[tuple[str, Value]] | Any) -> dict[str, Value] | None:
    """One value a role: a name beats a pronoun; two different names do not go together (None)."""
    roles: dict[str, Value] = {}
    for role, value in pairs:
        before = roles.get(role)
        if before is None or is_pronoun(before):
            roles[role] = value
        elif before != value and not is_pronoun(value):
            return None
    return roles


def complete(statement: Statement, roles: Mapping[str, Value]) -> Statement:
    """The statement with the roles that it lacks taken from around it: its subject, its day."""
    if statement.sealed:
        return statement
    have = dict(statement.roles)
    if "who" in roles and is_pronoun(have.get("who", "?")):
        have["who"] = roles["who"]
    if "day" in roles:
        have.setdefault("day", roles["day"])
    if "part" in roles and "part" in KINDS[statement.kind]:
        have.setdefault("part", roles["part"])
    return Statement(statement.kind, tuple(sorted(have.items())))


TOP = ("s.", "t.")
"""Rules of these families are whole sentences and whole lines: nothing is above them to take their roles."""
_TOKEN = re.compile(
    r"\[|\||\]|\{(\w+)(?::(\w+))?\}|<([\w.]+)(?::(\w+))?>|~([a-z]+|[^\[\]|{}<>~]+)|[^\[\]|{}<>~]+"
)
Inflect = Callable[[str, str], str]


def parse(text: str, inflect: Callable[[str], str] | None = None) -> Sequence:
    """The nodes of one alternative; `inflect` puts a verb into the form that is being made."""
    sequence, rest = _sequence(list(_TOKEN.finditer(text)), 0, inflect)
    assert rest == len(list(_TOKEN.finditer(text))), f"unbalanced brackets in the production {text!r}"
    assert "".join(m.group() for m in _TOKEN.finditer(text)) == text, (
        f"stray marks in the production {text!r}"
    )
    return sequence


def _sequence(
    tokens: list[re.Match[str]], at: int, inflect: Callable[[str], str] | None
) -> tuple[Sequence, int]:
    nodes: list[Node] = []
    while at < len(tokens) and tokens[at].group() not in ("|", "]"):
        token = tokens[at]
        role, form, rule, key, verb = token.groups()
        at += 1
        if token.group() == "[":
            options = {}
            while True:
                start = at
                option, at = _sequence(tokens, at, inflect)
                options["".join(t.group() for t in tokens[start:at])] = option
                at += 1
                if tokens[at - 1].group() == "]":
                    break
            nodes.append(Choice(list(options.values())))
        elif role:
            is_verb_phrase = form == "v" and inflect is not None
            nodes.append(Slot(role, inflect("") if is_verb_phrase and inflect else form or ""))
        elif rule:
            nodes.append(Ref(rule, key))
        elif verb:
            assert inflect is not None, f"verb ~{verb} outside a vp rule"
            nodes.append(Literal(inflect(verb)))
        else:
            nodes.append(Literal(token.group()))
    return Sequence(nodes), at


def parse_kinds(text: str) -> Kinds:
    """`kind, kind(role=value)` as kinds with the roles that they fix."""
    kinds = []
    for kind, fixed in re.findall(r"(\w+)(?:\(([^)]*)\))?", text):
        assert kind in KINDS, f"unknown kind of record {kind!r}"
        pairs = [pair.split("=") for pair in fixed.split(",") if pair]
        kinds.append((kind, tuple((role, int(v) if v.isdigit() else v) for role, v in pairs)))
    return tuple(kinds)


def compile_rules(texts: list[str], inflect: Inflect, forms: tuple[str, ...]) -> dict[str, Rule]:
    """All rules of a language's grammar texts; rules `vp.KIND` are made once for each verb form."""
    lines: dict[str, tuple[Kinds | None, list[str]]] = {}
    for text in texts:
        name = ""
        for line in text.splitlines():
            if line and not line.startswith((" ", "#")):
                name, equals, stated_kinds = line.partition("=")
                name = name.strip()
                assert name not in lines, f"the rule {name} is given twice"
                lines[name] = (parse_kinds(stated_kinds) if equals else None, [])
            elif line.strip():
                lines[name][1].append(line.strip())
    rules: dict[str, Rule] = {}
    for name, (stated, bodies) in lines.items():
        kinds = () if stated is None and name.startswith(TOP) else stated
        if name.startswith("vp."):
            for form in forms:
                made = f"{form}.{name[3:]}"
                rules[made] = _rule(made, kinds, bodies, partial(_inflected, inflect, form))
        else:
            rules[name] = _rule(name, kinds, bodies, None)
    return rules


def _inflected(inflect: Inflect, form: str, verb: str) -> str:
    """A verb in the form of the rule that is being made."""
    return inflect(verb, form)


def _rule(name: str, kinds: Kinds | None, bodies: list[str], inflect: Callable[[str], str] | None) -> Rule:
    alternatives = []
    for body in dict.fromkeys(bodies):
        text, arrow, own = body.partition("=>")
        alternatives.append(
            Alternative(
                parse(text.strip() if arrow else body, inflect),
                parse_kinds(own) if arrow else kinds,
                name.startswith(TOP),
            )
        )
    return Rule(name, alternatives)
