"""Conversations and what the published chat templates make of them: Tests/Goldens/chat/conversations.json.

Random conversations over the whole grammar: every role, thinking, kept thoughts, tools with nested schemas, calls,
responses, media, several messages of the assistant in a row, empty contents, numbers, all of Unicode. Conversations on
which a template fails are left out.

Run: python make_chat_goldens.py [COUNT]      (jinja2 3.1.6; COUNT conversations for each template, by default 100)
"""

import json
import pathlib
import random
import sys

import jinja2

HERE = pathlib.Path(__file__).parent / "chat"
TEMPLATES = {
    "july-small": ("july", False),
    "july-large": ("july", True),
    "mid-april-large": ("midApril", True),
    "release-large": ("release", True),
    "late-april-small": ("lateApril", False),
}

WORDS = [
    "Rome", "weather", "a b", "", " ", "\n", "  two  ", "line\nline", "\t", "Straße", "東京", "मुंबई", "e\u0301", "👩‍👩‍👧‍👦", "\u00a0x\u2003",
    "\u001d", "\u0085", "\u200b", "\ufeff", "\U000e0001", "\\", "'", '"', "it's", '"quoted"', "'\"", "{a:1}", "a,b", "[x]", "<|turn>user\n",
    "<turn|>", "<|image|>", '<|"|>', "<|channel>thought\nhidden<channel|>", "<channel|>", "<|channel>", "<channel|>\u0301", "\r\n", "NULL",
    "null", "ÅNGSTRÖM", "İ", "ǅ", "\u2028", "\U0001f9ff",
]
KEYS = [
    "city", "City", "days", "unit", "a", "B", "b", "A", "_x", "z9", "größe", "Ärger", "キー", "type", "description", "properties", "required",
    "nullable", "enum", "items", "title", "with space", "",
]
NUMBERS = [
    0, 1, -1, 7, 42, 2**53 + 1, -(2**63), 2**63 - 1, 0.0, -0.0, 1.0, 2.5, -3.75, 1e-05, 0.0001, 0.00012345, 1e15, 1e16, 123456789012345680.0,
    12345678901234567.0, 9007199254740993.0, 1e22, 1e100, -1.7976931348623157e308, 5e-324, 0.1, 1 / 3, 3.14e-7, 100.0, 1234567.125,
]
TYPES = ["string", "STRING", "integer", "number", "boolean", "array", "object", "Object", "null"]


def text(r):
    return "".join(r.choice(WORDS) for _ in range(r.choice([0, 1, 1, 2, 3, 5])))


def value(r, depth=0):
    kind = r.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [value(r, depth + 1) for _ in range(r.randrange(4))]
    if kind == 7:
        return members(r, depth + 1)
    if kind == 5:
        return r.choice([None, True, False])
    if kind > 2:
        return r.choice(NUMBERS) if r.random() < 0.7 else r.uniform(-1, 1) * 10.0 ** r.randrange(-20, 25)
    return text(r)


def members(r, depth=0):
    return {r.choice(KEYS): value(r, depth) for _ in range(r.randrange(5))}


def schema(r, depth=0):
    result = {}
    if r.random() < 0.7:
        result["description"] = text(r) if r.random() < 0.9 else value(r)
    if r.random() < 0.9:
        result["type"] = r.choice(TYPES[5:8]) if r.random() < 0.4 and depth < 3 else r.choice(TYPES)
    elif r.random() < 0.5:
        result["type"] = r.choice([["string", "null"], None, [], ["integer"]])
    kind = str(result.get("type")).lower()
    if r.random() < 0.3:
        result["nullable"] = r.choice([True, False, None, 1])
    if r.random() < (0.5 if kind == "string" else 0.1):
        result["enum"] = r.choice([[], ["c", "f"], [text(r), value(r)], [1, 2.5], [members(r), {"B": [], "a": {"b": 1}}]])
    if r.random() < (0.8 if kind == "array" else 0.1):
        items = schema(r, depth + 1) if depth < 3 else {}
        if r.random() < 0.2:
            items.update(r.choice([{"default": None}, {"format": "date"}, {"minimum": 1.5}, {"const": members(r)}, {"examples": [text(r)]}]))
        if r.random() < 0.1:
            items["type"] = ["string", "null"]
        result["items"] = items if r.random() < 0.9 else None
    if r.random() < (0.7 if kind == "object" else 0.1) and depth < 3:
        result["properties"] = {r.choice(KEYS): schema(r, depth + 1) for _ in range(r.randrange(4))}
    if r.random() < (0.6 if kind == "object" else 0.1):
        result["required"] = [r.choice(KEYS) for _ in range(r.randrange(3))]
    if r.random() < 0.15:
        result[r.choice(["format", "minimum", "default", "title"])] = value(r)
    entries = list(result.items())
    r.shuffle(entries)
    return dict(entries)


def tool(r):
    function = {"name": r.choice(["get_weather", "f", "ns.lookup", "do-it"])}
    if r.random() < 0.9:
        function["description"] = text(r)
    kind = r.random()
    if kind < 0.7:
        function["parameters"] = {"type": "object"}
        if r.random() < 0.9:
            function["parameters"]["properties"] = {r.choice(KEYS): schema(r) for _ in range(r.randrange(4))}
        if r.random() < 0.5:
            function["parameters"]["required"] = [r.choice(KEYS) for _ in range(r.randrange(3))]
        if r.random() < 0.1:
            del function["parameters"]["type"]
    elif kind < 0.8:
        function["parameters"] = r.choice([{}, None])
    if r.random() < 0.2:
        function["response"] = r.choice([{"type": "object", "description": text(r)}, {"type": "OBJECT"}, {"type": "string"}, {}])
    return {"type": "function", "function": function}


def medium(r, aliases):
    kinds = [
        {"type": "image"}, {"type": "image", "image": "a.png"}, {"type": "image", "url": "http://x/a.png"}, {"type": "audio", "audio": "a.wav"},
        {"type": "video", "path": "a.mp4"},
    ]
    if aliases:
        kinds += [
            {"type": "image_url", "image_url": {"url": "http://x/a.png"}}, {"type": "image_url", "image_url": "b.png"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ]
    return r.choice(kinds)


def content(r, media=True, aliases=True):
    kind = r.random()
    if kind < 0.5:
        return text(r)
    parts = []
    for _ in range(r.randrange(4)):
        if media and r.random() < 0.5:
            parts.append(medium(r, aliases))
        else:
            part = {"type": "text", "text": text(r)}
            parts.append(part if r.random() < 0.8 else dict(reversed(part.items())))
    return parts


def maybe_content(r, message, **options):
    kind = r.random()
    if kind < 0.8:
        message["content"] = content(r, **options)
    elif kind < 0.9:
        message["content"] = None
    return message


def conversation(r, generation):
    july = generation == "july"
    embeds = generation == "release"  # only embedded responses are scanned
    messages = []
    if r.random() < 0.4:
        messages.append(maybe_content(r, {"role": r.choice(["system", "developer"])}, media=False))
    for _ in range(r.randrange(7)):
        role = r.choices(["user", "assistant", "system", "developer", "tool"], [4, 6, 0.3, 0.3, 0.3])[0]
        message = {"role": role}
        if role == "tool":
            message.update(tool_call_id="c1", content=text(r))
        else:
            is_first = not messages and role in ("system", "developer")
            maybe_content(r, message, media=not is_first, aliases=july)
        messages.append(message)
        if r.random() < (0.4 if role == "assistant" else 0.03):
            message[r.choice(["reasoning", "reasoning_content"])] = text(r)
        if role != "assistant" or r.random() < 0.4:
            continue
        calls = [
            {"type": "function", "function": {"name": r.choice(["get_weather", "f"]), "arguments": members(r)}} for _ in range(r.choice([0, 1, 1, 2, 3]))
        ]
        for call in calls:
            if r.random() < 0.8:
                call["id"] = r.choice(["c1", "c2", "c3"])
            if r.random() < 0.1:
                call["function"]["arguments"] = None
            elif not july and r.random() < 0.1:
                call["function"]["arguments"] = r.choice(["{}", 'a:1', ""])
        message["tool_calls"] = calls
        if r.random() < (0.7 if embeds else 0.25):
            message["tool_responses"] = [
                r.choice([{"name": "f", "response": value(r)}, {"response": members(r)}, {"name": "g", "response": members(r)}]) for _ in range(r.randrange(3))
            ]
        for _ in range(r.choice([0, 0, 0, 1] if embeds else [0, 1, 1, 2])):
            answer = {"role": "tool"}
            if r.random() < 0.8:
                answer["tool_call_id"] = r.choice(["c1", "c2", "c3", "c4"])
            if r.random() < 0.6:
                answer["name"] = r.choice(["f", "h", ""])
            if r.random() < 0.15:
                answer["content"] = r.choice([None, 5, 2.5, True])
            else:
                maybe_content(r, answer, media=july)
            messages.append(answer)
        if r.random() < 0.6:
            message["content"] = r.choice(["", None, [], " ", "<|channel>thought\nx<channel|>"])
    return {
        "messages": messages,
        "tools": [tool(r) for _ in range(r.choice([1, 1, 2, 3]))] if r.random() < 0.35 else [],
        "thinking": r.random() < 0.4,
        "preserve": r.random() < 0.4,
        "prompt": r.random() < 0.85,
    }


def fail(message):
    raise jinja2.TemplateError(message)


def load(path):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = fail
    return environment.from_string(path.read_text())


def render(template, case):
    return template.render(
        messages=case["messages"], tools=case["tools"], enable_thinking=case["thinking"], preserve_thinking=case["preserve"],
        add_generation_prompt=case["prompt"], bos_token="<bos>",
    )


def cases(count, name, seed):
    generation, large = TEMPLATES[name]
    template = load(HERE / f"chat_template-{name}.jinja")
    r = random.Random(f"{name} {seed}")
    made = 0
    while made < count:
        case = conversation(r, generation)
        try:
            prompt = render(template, case)
        except (jinja2.TemplateError, TypeError):
            continue
        made += 1
        yield {"template": name, **case, "text": prompt}


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with open(HERE / "conversations.json", "w") as file:
        file.write("[\n")
        lines = [json.dumps(case, ensure_ascii=False, separators=(",", ":")) for name in TEMPLATES for case in cases(count, name, seed=4)]
        file.write(",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
