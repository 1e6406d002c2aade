"""The conversations put to each variant. `{n}` is counted up until the answer is fit for a golden (`reference.py`)."""
from dataclasses import dataclass

from . import variants


@dataclass(frozen=True)
class Case:
    name: str
    messages: list
    thinking: bool = False
    traced: bool = False  # the output of every layer is stored
    wants: str = ""  # "stop": ends by a stop token; "suppressed": a suppressed token would have won at least once


def text(value):
    return {"type": "text", "text": value}


def image(name):
    return {"type": "image", "image": f"../../attachments/{name}.png"}


def audio(name):
    return {"type": "audio", "audio": f"../../attachments/{name}.wav"}


def user(*parts):
    return {"role": "user", "content": parts[0] if len(parts) == 1 and isinstance(parts[0], str) else list(parts)}


LONG = (
    "Compare the first word and the second word of this answer: the quick brown fox jumps over 13 lazy dogs.\n\n"
    "Then tell me about 日本語 and “naïve café”, in two words, and be brief 😊. Attempt {n}."
)


def cases(name):
    system = {"role": "system", "content": "  You are brief. "}
    if name in variants.HAS_AUDIO:  # their templates take parts, too
        system = {"role": "system", "content": [text("You are brief."), text(" Answer in words.")]}
    result = [
        Case("text", [user("What is this, {n}?")]),
        Case("long-text", [user(LONG)], traced=True),
        Case("stop", [user("Tell me the word {n}.")], wants="stop"),
        Case("system", [system, user("Tell me about number {n}.")]),
        Case("thinking", [user("Is {n} one of the numbers you hear?")], thinking=True),
        Case("turns", [
            user("What is one and two?"),
            {"role": "assistant", "content": "<|channel>thought\none and two\n<channel|>three"},
            user("And {n}?"),
            {"role": "assistant", "content": [text("I see. ")]},
            user("  Answer in words. \n"),
        ]),
        Case("image", [user(image("wide"), text("Describe this image. {n}"))], traced=name not in variants.HAS_AUDIO),
        Case("images", [user(image("tall"), image("noise"), text("Compare them with"), image("poster"), text("the {n}. picture."))]),
        Case("image-turns", [
            user(image("noise"), text("What do you see?")),
            {"role": "assistant", "content": "a picture"},
            user(text("And in this one, {n}?"), image("wide")),
        ]),
    ]
    if name in variants.SUPPRESSES:
        result.append(Case("suppressed", [user("Describe the sound of {n}.")], wants="suppressed"))
    if name in variants.HAS_AUDIO:
        together = [image("wide"), text("What do you hear and see? {n}"), audio("chirp")]
        if name == "E4B":
            together = [image("wide"), audio("chirp"), text("Tell me about the first, {n}. Be brief.")]
        result += [
            Case("audio", [user(text("Transcribe this, {n}."), audio("chirp"))]),
            Case("audios", [user(audio("tone"), text("Compare the sound {n} and"), audio("bursts"))]),
            Case("image-audio", [user(*together)], traced=True),
        ]
    return result


def filled(messages, n):
    """The messages with `{n}` replaced."""
    def fill(value):
        if isinstance(value, str):
            return value.replace("{n}", str(n))
        if isinstance(value, list):
            return [fill(item) for item in value]
        return {key: fill(item) for key, item in value.items()}

    return [fill(message) for message in messages]
