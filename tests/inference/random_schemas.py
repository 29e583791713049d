"""Random schemas of what structured output supports."""

import random
from typing import Any


class Schemas:
    """One generator of schemas."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def schema(self, depth: int = 0) -> dict[str, Any]:
        """One schema, simpler the deeper it stands."""
        chance = self.chance
        simple = [self.number, self.integer, self.string, self.choice, self.plain]
        nested = [self.thing, self.array, self.either, self.thing]
        return chance.choice(simple if depth > 2 else [*simple, *nested, *nested])(depth)

    def plain(self, depth: int) -> dict[str, Any]:
        return {"type": self.chance.choice(["boolean", "null", ["boolean", "integer"], ["null", "string"]])}

    def choice(self, depth: int) -> dict[str, Any]:
        values = ["red", "水滴", 'a"b\\c', "\n", "é😀", 3, -2.5, None, True, [1, "二"], {"k": []}]
        return {"enum": self.chance.sample(values, self.chance.randrange(1, 5))}

    def integer(self, depth: int) -> dict[str, Any]:
        low = self.chance.randrange(-1000, 1000)
        schema: dict[str, Any] = {"type": "integer", self.chance.choice(["minimum", "exclusiveMinimum"]): low}
        schema[self.chance.choice(["maximum", "exclusiveMaximum"])] = low + self.chance.randrange(20, 500)
        if self.chance.random() < 0.3:
            schema["multipleOf"] = self.chance.choice([2, 3, 5])
        return schema

    def number(self, depth: int) -> dict[str, Any]:
        low = self.chance.choice([-3.5, 0, 0.25, 17, -1e-3, 1234.5])
        schema: dict[str, Any] = {"type": "number", "minimum": low}
        if self.chance.random() < 0.7:
            schema["maximum"] = low + self.chance.choice([0.5, 3, 1000.75])
        return schema

    def string(self, depth: int) -> dict[str, Any]:
        kind = self.chance.randrange(4)
        if kind == 0:
            low = self.chance.randrange(3)
            return {"type": "string", "minLength": low, "maxLength": low + self.chance.randrange(6)}
        if kind == 1:
            patterns = ["^[a-z]{2,4}$", "^\\d{3}-\\d{2}$", "[ぁ-ん]{2}", "^(水|露)+$", "x"]
            return {"type": "string", "pattern": self.chance.choice(patterns)}
        if kind == 2:
            return {"type": "string", "format": self.chance.choice(["date", "ipv4", "uuid"])}
        return {"type": "string", "maxLength": 30}

    def array(self, depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array", "items": self.schema(depth + 1)}
        if self.chance.random() < 0.3:
            schema["prefixItems"] = [self.schema(depth + 2) for _ in range(self.chance.randrange(1, 3))]
        schema["minItems"] = self.chance.randrange(3)
        schema["maxItems"] = schema["minItems"] + self.chance.randrange(3)
        return schema

    def thing(self, depth: int) -> dict[str, Any]:
        names = self.chance.sample(
            ["id", "名前", "a b", 'qu"ote', "x", "list", "値段"], self.chance.randrange(1, 5)
        )
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: self.schema(depth + 1) for name in names},
            "required": self.chance.sample(names, self.chance.randrange(len(names) + 1)),
        }
        free = self.chance.random()
        if free < 0.6:
            schema["additionalProperties"] = False
        elif free < 0.8:
            schema["additionalProperties"] = self.schema(depth + 2)
        return schema

    def either(self, depth: int) -> dict[str, Any]:
        return {"anyOf": [self.schema(depth + 1) for _ in range(self.chance.randrange(2, 4))]}
