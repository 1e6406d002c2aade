"""Makes suite.json.gz and judged.json.gz: JSON Schemas with instances and whether they are valid.

usage: python make_schema_goldens.py JSONSCHEMA-SDIST

The argument is the unpacked source distribution of `jsonschema` from PyPI, whose folder `json` is the official
JSON-Schema-Test-Suite. Random instances are judged by the `jsonschema` that this Python imports.
"""

import gzip
import json
import random
import sys
from pathlib import Path

import jsonschema

FORMATS = ["date", "time", "date-time", "duration", "uuid", "ipv4", "ipv6", "hostname", "email", "uri", "json-pointer"]


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    with open(name, "wb") as file, gzip.GzipFile("", "wb", mtime=0, fileobj=file) as packed:
        packed.write(text.encode())


def suite(root):
    """The required tests, and the optional ones of formats that are enforced and of large numbers."""
    folder = root / "json/tests/draft2020-12"
    files = sorted(folder.glob("*.json")) + [folder / "optional/bignum.json", folder / "optional/ecmascript-regex.json"]
    files += [folder / f"optional/format/{name}.json" for name in FORMATS]
    groups = []
    for file in files:
        for group in json.loads(file.read_text()):
            tests = [[test["description"], test["data"], test["valid"]] for test in group["tests"]]
            groups.append([file.relative_to(folder).as_posix(), group["description"], group["schema"], tests])
    return groups


SCHEMAS = [
    # Forms and calls of functions.
    {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 130},
     "email": {"type": "string", "pattern": "^[a-z]+@[a-z]+\\.org$"}}, "required": ["name", "age"],
     "additionalProperties": False},
    {"type": "object", "properties": {"city": {"type": "string", "minLength": 1, "maxLength": 4},
     "unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 1, "maximum": 16}}, "required": ["city"]},
    {"type": "object", "properties": {"items": {"type": "array", "minItems": 1, "maxItems": 3, "items": {
     "type": "object", "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{2}[0-9]$"},
     "price": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5}}, "required": ["sku", "price"],
     "additionalProperties": False}}, "total": {"type": "number"}}, "required": ["items"], "additionalProperties": False},
    # Alternatives.
    {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "integer", "minimum": 5}, {"type": "null"}]},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind", "x"],
     "additionalProperties": False},
     {"type": "object", "properties": {"kind": {"const": "b"}, "y": {"type": "string"}}, "required": ["kind", "y"],
     "additionalProperties": False}]},
    {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"oneOf": [{"type": "integer", "multipleOf": 2}, {"type": "integer", "multipleOf": 3}]},
    {"oneOf": [{"type": "array", "contains": {"const": 1}}, {"type": "array", "minItems": 2}]},
    {"anyOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}}],
     "type": "object"},
    {"allOf": [{"properties": {"a": {"type": ["integer", "string"]}}}, {"properties": {"a": {"minimum": 3, "maxLength": 1}},
     "required": ["a"]}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
     {"patternProperties": {"^a": {"minimum": 2}, "b": {"minLength": 1}}}], "type": "object"},
    {"not": {"type": ["integer", "string"]}},
    {"type": "object", "not": {"required": ["a", "b"]}},
    {"type": "object", "not": {"properties": {"a": {"type": "integer"}}}},
    {"type": "object", "not": {"additionalProperties": {"type": "integer"}}},
    {"type": "object", "not": {"patternProperties": {"^a": {"type": "string"}}}},
    {"type": "object", "not": {"propertyNames": {"maxLength": 1}}},
    {"type": "array", "not": {"items": {"type": "integer"}}},
    {"type": "array", "not": {"prefixItems": [{"type": "integer"}, {"type": "string"}]}},
    {"not": {"enum": [1, "a", [1, 2], {"a": 1}, None]}},
    {"if": {"properties": {"a": {"const": 1}}, "required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]},
     "type": "object"},
    {"if": {"type": "integer"}, "then": {"minimum": 3}, "else": {"type": "string"}},
    # Objects.
    {"type": "object", "minProperties": 1, "maxProperties": 2, "properties": {"a": {"type": "integer"}}},
    {"type": "object", "propertyNames": {"pattern": "^[ab]+$"}, "additionalProperties": {"type": "integer"}},
    {"type": "object", "patternProperties": {"^a": {"type": "integer"}, "b$": {"minimum": 1}},
     "additionalProperties": False},
    {"type": "object", "dependentRequired": {"a": ["b"], "b": ["c"]}},
    {"type": "object", "dependentSchemas": {"a": {"properties": {"b": {"type": "integer"}}, "required": ["b"]}}},
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "boolean"}}},
    {"const": {"a": [1, 2.5, None], "b": {"c": "x\ny\"\\"}}},
    {"enum": [[], {}, [1], {"a": 1}, 0, False, ""]},
    # Arrays.
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "boolean"}},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": False, "minItems": 1},
    {"type": "array", "contains": {"type": "string"}, "minContains": 1, "maxContains": 2, "maxItems": 4},
    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 2}, "uniqueItems": True},
    {"type": "array", "items": {"enum": ["a", "b", None, True, 1]}, "uniqueItems": True, "minItems": 2},
    {"type": "array", "items": {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "integer"}]}, "uniqueItems": True},
    # Recursion.
    {"$defs": {"tree": {"type": "object", "properties": {"value": {"type": "integer"},
     "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["value"],
     "additionalProperties": False}}, "$ref": "#/$defs/tree"},
    {"$defs": {"list": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"head": {"type": "integer"},
     "tail": {"$ref": "#/$defs/list"}}, "required": ["head", "tail"], "additionalProperties": False}]}},
     "$ref": "#/$defs/list"},
    {"$defs": {"expression": {"oneOf": [{"type": "integer"}, {"type": "array", "prefixItems": [{"enum": ["+", "-"]}],
     "items": {"$ref": "#/$defs/expression"}, "minItems": 2}]}}, "$ref": "#/$defs/expression"},
    # Numbers and strings.
    {"type": "number", "minimum": -1.5, "exclusiveMaximum": 10.25},
    {"type": "integer", "exclusiveMinimum": -12, "maximum": 105, "multipleOf": 7},
    {"type": "number", "multipleOf": 0.01},
    {"minimum": 2, "maxLength": 2, "maxItems": 1, "maxProperties": 1},
    {"type": "string", "pattern": "(foo|ba[rz])+\\d?$", "minLength": 4},
    {"type": "string", "pattern": "^\\S+$", "not": {"pattern": "^a|b$"}},
    {"type": ["string", "null"], "enum": ["é", "x", None, 3]},
]

KEYS = ["a", "b", "c", "ab", "kind", "x", "y", "name", "age", "email", "city", "unit", "days", "items", "sku", "price",
        "total", "value", "children", "head", "tail", ""]
TEXTS = ["", "a", "b", "ab", "xyz", "C", "F", "AB1", "q@w.org", "+", "-", "foo", "bar7", "foobaz", "é", "\n", "\"\\", "long text",
         "😀", "a b"]
NUMBERS = [0, 1, 2, 3, 5, 6, 7, 14, -7, -12, -11, 105, 112, 130, 131, 0.5, 1.5, 2.5, -1.5, -1.51, 10.25, 10.24, 0.01, 0.015, 1e20,
           123456789012345678901234567890, 16, 17, 4]


def value(rng, depth):
    kind = rng.randrange(5 if depth == 0 else 8)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return rng.choice(NUMBERS)
    if kind in (3, 4):
        return rng.choice(TEXTS)
    if kind == 5:
        return [value(rng, depth - 1) for _ in range(rng.randrange(5))]
    return {rng.choice(KEYS): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def guided(rng, schema, root, depth=4):
    """A value that often obeys the schema."""
    if not isinstance(schema, dict) or depth == 0 or rng.random() < 0.04:
        return value(rng, 1)
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].split("/")[1:]:
            target = target[part]
        return guided(rng, target, root, depth - 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return guided(rng, {**schema, key: None, **rng.choice(schema[key])} if rng.random() < 0.5
                          else rng.choice(schema[key]), root, depth) if schema[key] else value(rng, 2)
    types = schema.get("type")
    kind = rng.choice(types) if isinstance(types, list) else types
    if kind is None:
        kind = "object" if "properties" in schema or "required" in schema else rng.choice(
            ["object", "array", "string", "number"])
    if kind == "object":
        made = {}
        properties = schema.get("properties", {})
        for key in list(properties) + schema.get("required", []):
            if rng.random() < 0.75:
                made[key] = guided(rng, properties.get(key, True), root, depth - 1)
        while rng.random() < 0.35:
            made[rng.choice(KEYS)] = guided(rng, schema.get("additionalProperties", True), root, depth - 1)
        return made
    if kind == "array":
        prefix = schema.get("prefixItems", [])
        count = rng.randrange(5)
        return [guided(rng, prefix[i] if i < len(prefix) else schema.get("items", schema.get("contains", True)), root,
                       depth - 1) for i in range(count)]
    if kind == "string":
        return rng.choice(TEXTS)
    if kind in ("number", "integer"):
        return rng.choice(NUMBERS)
    return {"null": None, "boolean": rng.random() < 0.5}[kind]


def judged():
    rng = random.Random(7)
    groups = []
    for schema in SCHEMAS:
        validator = jsonschema.Draft202012Validator(schema)
        found = {True: {}, False: {}}
        for _ in range(4000):
            instance = guided(rng, schema, schema) if rng.random() < 0.8 else value(rng, 2)
            text = json.dumps(instance)
            if len(text) < 160:
                found[validator.is_valid(instance)].setdefault(text, instance)
        tests = [["", instance, valid] for valid in (True, False) for instance in list(found[valid].values())[:40]]
        groups.append(["judged", "", schema, tests])
    return groups


if __name__ == "__main__":
    root = Path(sys.argv[1])
    here = Path(__file__).parent
    for name, groups in (("suite", suite(root)), ("judged", judged())):
        write(here / f"{name}.json.gz", groups)
        tests = [test for group in groups for test in group[3]]
        print(name, len(groups), "schemas,", len(tests), "instances,", sum(test[2] for test in tests), "valid")
