"""Draws pictures of coloured shapes and says what is on them, in one fixed grammar; questions and answers too."""

import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ["circle", "square", "triangle", "star", "cross", "ring"]
COLOURS = {
    "red": (214, 32, 36), "green": (38, 150, 60), "blue": (36, 74, 208), "yellow": (246, 214, 32),
    "orange": (242, 128, 20), "purple": (128, 42, 150), "black": (22, 22, 26),
}
SIZES = {"small": (16, 22), "medium": (31, 38), "large": (50, 58)}  # half the extent, in pixels of the model's input
BACKGROUNDS = [(255, 255, 255), (236, 236, 236), (250, 244, 226), (222, 236, 248), (226, 244, 226)]

# Sizes that the processor leaves as they are at a budget of 70 soft tokens.
CANVASES = [(384, 384), (384, 384), (432, 336), (336, 432), (480, 288)]

CAPTION_PROMPT = "Describe this image."


@dataclass
class Thing:
    size: str
    colour: str
    shape: str
    x: float
    y: float
    half: float

    def __str__(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"


@dataclass
class Scene:
    width: int
    height: int
    things: list[Thing]
    arrangement: str  # one, left, above, row, column
    noisy: bool
    background: tuple[int, int, int]

    def caption(self) -> str:
        names = [f"a {thing}" for thing in self.things]
        text = {
            "one": "{}",
            "left": "{} to the left of {}",
            "above": "{} above {}",
            "row": "{}, {} and {} from left to right",
            "column": "{}, {} and {} from top to bottom",
        }[self.arrangement].format(*names)
        return f"{text[0].upper()}{text[1:]} on a {'noisy' if self.noisy else 'plain'} background."


def scene(rng: random.Random, canvas: tuple[int, int] | None = None, most: int = 3) -> Scene:
    """A random scene. Things are listed as the caption names them."""
    width, height = canvas or rng.choice(CANVASES)
    while True:
        count = rng.choice([1, 2, 2, 3, 3][: 1 if most == 1 else 3 if most == 2 else 5])
        arrangement = {1: ["one"], 2: ["left", "above"], 3: ["row", "column"]}[count]
        arrangement = rng.choice(arrangement)
        things = []
        for _ in range(count):
            size = rng.choice(list(SIZES))
            things.append(Thing(size, rng.choice(list(COLOURS)), rng.choice(SHAPES), 0, 0, rng.uniform(*SIZES[size])))
        along, across = (height, width) if arrangement in ("above", "column") else (width, height)
        gap = 8
        room = along - sum(2 * thing.half for thing in things) - gap * (count + 1)
        if room < 0 or any(2 * thing.half + 2 * gap > across for thing in things):
            continue
        cuts = sorted(rng.uniform(0, room) for _ in things)
        start, line = gap, rng.uniform(0.3, 0.7) * across
        for thing, before, after in zip(things, [0, *cuts], cuts):
            start += after - before
            centre = start + thing.half
            start += 2 * thing.half + gap
            side = min(max(line + rng.uniform(-30, 30), thing.half + gap), across - thing.half - gap)
            thing.x, thing.y = (side, centre) if along == height and arrangement in ("above", "column") else (centre, side)
        return Scene(width, height, things, arrangement, rng.random() < 0.4, rng.choice(BACKGROUNDS))


def _corners(thing: Thing, count: int, inner: float | None, turn: float) -> list[tuple[float, float]]:
    points = []
    for n in range(count):
        radius = thing.half * (inner if inner and n % 2 else 1.0)
        angle = turn + 2 * math.pi * n / count
        points.append((2 * (thing.x + radius * math.sin(angle)), 2 * (thing.y - radius * math.cos(angle))))
    return points


def draw(picture: Scene, rng: random.Random) -> Image.Image:
    """Drawn at twice the size and averaged, for smooth edges."""
    image = Image.new("RGB", (2 * picture.width, 2 * picture.height), picture.background)
    pen = ImageDraw.Draw(image)
    for thing in picture.things:
        colour = tuple(min(max(part + rng.randint(-12, 12), 0), 255) for part in COLOURS[thing.colour])
        box = [2 * (thing.x - thing.half), 2 * (thing.y - thing.half), 2 * (thing.x + thing.half), 2 * (thing.y + thing.half)]
        turn = rng.uniform(-0.15, 0.15)
        if thing.shape == "circle":
            pen.ellipse(box, fill=colour)
        elif thing.shape == "ring":
            pen.ellipse(box, outline=colour, width=max(int(0.7 * thing.half), 4))
        elif thing.shape == "square":
            shrunk = Thing("", "", "", thing.x, thing.y, thing.half * 1.25)
            pen.polygon(_corners(shrunk, 4, None, math.pi / 4 + turn), fill=colour)
        elif thing.shape == "triangle":
            pen.polygon(_corners(thing, 3, None, turn), fill=colour)
        elif thing.shape == "star":
            pen.polygon(_corners(thing, 10, 0.42, turn), fill=colour)
        else:
            bar = 0.3 * thing.half * 2
            for a, b in ((thing.half * 2, bar), (bar, thing.half * 2)):
                pen.rectangle([2 * thing.x - a, 2 * thing.y - b, 2 * thing.x + a, 2 * thing.y + b], fill=colour)
    image = image.reduce(2)
    if picture.noisy:
        pixels = np.asarray(image).astype(np.int16)
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(18, 34), pixels.shape)
        image = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
    return image


def question(picture: Scene, rng: random.Random) -> tuple[str, str]:
    """A question about a scene, and its answer."""
    kind = rng.random()
    colour_of = rng.choice(["colour", "color"])
    if kind < 0.3:
        return "How many shapes are there?", str(len(picture.things))
    if kind < 0.45:
        shape = rng.choice([rng.choice(picture.things).shape, rng.choice(SHAPES)])
        plural = {"cross": "crosses"}.get(shape, shape + "s")
        return f"How many {plural} are there?", str(sum(thing.shape == shape for thing in picture.things))
    if kind < 0.6:
        colour = rng.choice([rng.choice(picture.things).colour, rng.choice(list(COLOURS))])
        return f"How many {colour} shapes are there?", str(sum(thing.colour == colour for thing in picture.things))
    shapes = [thing.shape for thing in picture.things]
    single = [thing for thing in picture.things if shapes.count(thing.shape) == 1]
    if single:
        thing = rng.choice(single)
        return f"What {colour_of} is the {thing.shape}?", thing.colour
    return "How many shapes are there?", str(len(picture.things))


def patches(image: Image.Image) -> np.ndarray:
    """A picture of one of the `CANVASES` as the processor hands it to the model: [patches, 768] in 0...1, channel fastest."""
    pixels = np.asarray(image, dtype=np.float32) / 255
    rows, columns = pixels.shape[0] // 16, pixels.shape[1] // 16
    return pixels.reshape(rows, 16, columns, 16, 3).transpose(0, 2, 1, 3, 4).reshape(rows * columns, 768)


def positions(width: int, height: int) -> np.ndarray:
    """(x, y) of every patch, row by row."""
    x, y = np.meshgrid(np.arange(width // 16), np.arange(height // 16))
    return np.stack([x.ravel(), y.ravel()], -1)


def cell_labels(picture: Scene) -> np.ndarray:
    """For each 48x48 cell: shape, colour, size of the thing in it, 0 for none; [cells, 3]."""
    columns, rows = picture.width // 48, picture.height // 48
    labels = np.zeros((rows, columns, 3), np.int64)
    for thing in picture.things:
        reach = 0.75 * thing.half + 20
        for row in range(rows):
            for column in range(columns):
                if max(abs(48 * column + 24 - thing.x), abs(48 * row + 24 - thing.y)) < reach:
                    labels[row, column] = (1 + SHAPES.index(thing.shape), 1 + list(COLOURS).index(thing.colour), 1 + list(SIZES).index(thing.size))
    return labels.reshape(-1, 3)
