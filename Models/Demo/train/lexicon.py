"""What the demo model may hear: its words, and the utterances made of them."""

import random

DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split()))

WORDS = """
red green blue yellow orange purple white black brown pink gray
monday tuesday wednesday thursday friday saturday sunday
january february march april may june july august september october november december
north south east west left right up down forward back
kitchen bedroom bathroom garden door window light lamp table chair bed phone music television radio
fan heater clock oven water coffee book
turn on off open close start stop play pause next set call go yes no please hello thanks the and
today tomorrow yesterday morning evening night week minute minutes hour hours hot cold big small new old
""".split()

VOCABULARY = list(DIGITS) + WORDS

COLOURS = WORDS[:11]
DAYS = WORDS[11:18]
MONTHS = WORDS[18:30]
DIRECTIONS = "north south east west left right up down forward back".split()
ROOMS = "kitchen bedroom bathroom garden".split()
DEVICES = "light lamp phone music television radio fan heater clock oven door window".split()
TIMES = "today tomorrow yesterday morning evening night".split()

MAX_WORDS = 10


def spoken(text: str) -> str:
    """The words a synthesiser is given for a transcript: digits are written out."""
    return " ".join(DIGITS.get(word, word) for word in text.split())


def _command(rng: random.Random) -> list[str]:
    digit = lambda: rng.choice("0123456789")
    pick = rng.choice
    return pick([
        lambda: ["turn", pick(["on", "off"]), "the", pick(ROOMS), pick(DEVICES)],
        lambda: ["turn", "the", pick(DEVICES), pick(["on", "off", "up", "down"]), "please"],
        lambda: [pick(["open", "close"]), "the", pick(ROOMS), pick(["door", "window"])],
        lambda: ["set", "the", pick(DEVICES), pick([digit(), "hot", "cold"])],
        lambda: [pick(["start", "stop", "play", "pause"]), "the", pick(["music", "radio", "television"])],
        lambda: ["call", *(digit() for _ in range(rng.randint(3, 9)))],
        lambda: [pick(DAYS), pick(MONTHS), digit()],
        lambda: [pick(DAYS), pick(TIMES), digit(), "hours", digit(), "minutes"],
        lambda: ["go", pick(DIRECTIONS), "and", pick(DIRECTIONS)],
        lambda: ["go", digit(), pick(["hours", "minutes"]), pick(DIRECTIONS)],
        lambda: ["the", pick(["big", "small", "new", "old"]), pick(COLOURS), pick(["table", "chair", "bed", "book", "lamp"])],
        lambda: [pick(["hello", "yes", "no", "thanks"]), pick(TIMES), "please"],
    ])()


def utterance(rng: random.Random) -> str:
    """A transcript of one to ten words: free word lists, digit strings and commands."""
    kind = rng.random()
    if kind < 0.30:
        return rng.choice(VOCABULARY) if rng.random() < 0.5 else " ".join(rng.choices(VOCABULARY, k=2))
    if kind < 0.65:
        return " ".join(rng.choices(VOCABULARY, k=rng.randint(3, MAX_WORDS)))
    if kind < 0.80:
        return " ".join(rng.choices("0123456789", k=rng.randint(2, MAX_WORDS)))
    return " ".join(_command(rng))
