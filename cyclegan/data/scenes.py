"""Drawn scenes: an animal in front of a landscape, once plain and once striped.

A scene is a pure function of two numbers, so nothing has to be shipped or downloaded.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64
OVERSAMPLING = 4

Point = tuple[float, float]
Phase = tuple[float, float, float]
Uniform = Callable[[float, float], float]

COATS = np.array([(118, 74, 42), (142, 70, 36), (50, 44, 42), (108, 108, 112), (152, 114, 72)])
STRIPE = np.array((244, 240, 230))
SKIES = np.array(  # zenith, horizon
    [
        ((88, 148, 214), (190, 218, 238)),
        ((128, 172, 208), (226, 226, 214)),
        ((104, 120, 178), (240, 192, 148)),
        ((160, 172, 184), (206, 212, 216)),
    ]
)
GROUNDS = np.array([(112, 150, 66), (178, 164, 90), (214, 188, 136), (176, 140, 104), (226, 230, 236)])
BUSHES = np.array([(66, 104, 48), (92, 116, 54), (116, 112, 58)])
SUN = np.array((255, 238, 176))

NO_STRIPES: Phase = (0.0, 0.0, 0.75)  # everywhere in the middle between two stripes


class Scene(NamedTuple):
    """One animal in one place, drawn with and without stripes.

    Attributes:
        plain: the picture of domain A, uint8 [64, 64, 3].
        striped: the picture of domain B, uint8 [64, 64, 3]; it equals `plain` wherever `mask` is 0.
        mask: the part of each pixel that the animal covers, uint8 [64, 64]; 0 means none, 255 means all.
    """

    plain: np.ndarray
    striped: np.ndarray
    mask: np.ndarray


class Animal:
    """An animal as a picture of numbered parts, with the look of each part.

    Lengths and places are in pixels of the finished picture.

    Attributes:
        parts: oversampled uint8 picture that holds the number of the visible part, or 0 for the background.
        phases: for each part, the numbers (a, b, c) with which a x + b y + c counts its stripes.
        brightness: for each part, its brightness relative to the coat.
    """

    def __init__(self) -> None:
        self.parts = Image.new("L", (SIZE * OVERSAMPLING, SIZE * OVERSAMPLING))
        self.draw = ImageDraw.Draw(self.parts)
        self.phases = [NO_STRIPES]
        self.brightness = [0.0]

    def add_part(self, phase: Phase, brightness: float) -> int:
        """Adds a part and returns its number, with which it can be drawn."""
        self.phases.append(phase)
        self.brightness.append(brightness)
        return len(self.phases) - 1

    def add_limb(self, joints: list[tuple[Point, float]], brightness: float, period: float | None) -> None:
        """Draws a chain of rounded segments through (place, width), with stripes across its direction."""
        phase = NO_STRIPES if period is None else stripes_along(joints[0][0], joints[-1][0], period)
        part = self.add_part(phase, brightness)
        for (start, start_width), (end, end_width) in zip(joints, joints[1:], strict=False):
            across_x, across_y = unit(start[1] - end[1], end[0] - start[0])
            corners = [
                (x + reach * across_x, y + reach * across_y)
                for (x, y), reach in [
                    (start, start_width / 2),
                    (end, end_width / 2),
                    (end, -end_width / 2),
                    (start, -start_width / 2),
                ]
            ]
            self.draw.polygon(fine(corners), fill=part)
        for place, width in joints:
            self.draw.ellipse(fine(box(place, width, width)), fill=part)


def draw_scene(seed: int, index: int) -> Scene:
    """Draws one scene as a pure function of its arguments, which are from 0 to 2**64 - 1."""
    bits = np.random.Philox(key=np.array([seed, index], dtype=np.uint64))

    # NumPy promises never to change the raw bits of a bit generator, but not the numbers of its distributions.
    def uniform(low: float, high: float) -> float:
        return low + (high - low) * (int(bits.random_raw()) >> 11) * 2.0**-53

    scale = uniform(0.85, 1.1)
    feet = uniform(51, 59)
    background = draw_background(uniform)
    animal = draw_animal(uniform, scale, feet)
    coat = pick(uniform, COATS) * uniform(0.9, 1.1)
    grain = (bits.random_raw(SIZE * SIZE) >> 11).reshape(SIZE, SIZE, 1) * 2.0**-53 * 12 - 6

    parts = np.asarray(animal.parts)
    a, b, c = (np.take(column, parts) for column in np.transpose(animal.phases))
    y, x = np.ogrid[: parts.shape[0], : parts.shape[1]]
    turns = a * (x / OVERSAMPLING) + b * (y / OVERSAMPLING) + c
    is_stripe = turns - np.floor(turns) < 0.5
    brightness = np.take(animal.brightness, parts)
    cover = shrink(parts > 0)
    behind = (1 - cover) * background + grain
    sunlight = 1.2 - 0.4 * np.arange(SIZE)[:, None, None] / SIZE
    plain = behind + shrink(brightness) * sunlight * coat
    stripes = shrink(is_stripe * (0.5 + 0.5 * brightness)) * STRIPE
    striped = behind + shrink(brightness * ~is_stripe) * sunlight * coat + stripes
    return Scene(to_bytes(plain), to_bytes(striped), to_bytes(cover * 255)[..., 0])


def draw_background(uniform: Uniform) -> np.ndarray:
    """The landscape: sky, ground, hills and bushes, float64 [64, 64, 3] in 0..255."""
    horizon = uniform(20, 38)
    zenith, haze = pick(uniform, SKIES)
    ground = pick(uniform, GROUNDS) * uniform(0.92, 1.06)
    fine_size = SIZE * OVERSAMPLING

    rows = np.arange(fine_size)[:, None, None] / OVERSAMPLING
    above = np.minimum(rows / horizon, 1)
    sky = zenith * (1 - above) + haze * above
    picture = Image.fromarray(np.repeat(sky.astype(np.uint8), fine_size, axis=1))
    draw = ImageDraw.Draw(picture)
    if uniform(0, 1) < 0.4:
        diameter = uniform(5, 9)
        place = (uniform(6, 58), uniform(5, 14))
        draw.ellipse(fine(box(place, diameter, diameter)), fill=rgb(SUN))
    for distance in (0.65, 0.4)[: int(uniform(0, 3))]:
        hill = (1 - distance) * ground + distance * haze
        for _ in range(2):
            place = (uniform(0, SIZE), horizon + 2)
            draw.ellipse(fine(box(place, uniform(30, 60), uniform(10, 26))), fill=rgb(hill))
    draw.rectangle((0, round(horizon * OVERSAMPLING), fine_size, fine_size), fill=rgb(ground))
    for _ in range(int(uniform(0, 5))):
        patch = ground * uniform(0.9, 1.06)
        place = (uniform(0, SIZE), uniform(horizon + 4, SIZE))
        draw.ellipse(fine(box(place, uniform(14, 40), uniform(2, 5))), fill=rgb(patch))
    for _ in range(int(uniform(0, 4))):
        x, y = uniform(0, SIZE), uniform(horizon, horizon + 8)
        bush = pick(uniform, BUSHES)
        for shift in (-2.5, 2.5, 0.0):
            diameter = uniform(4, 7)
            leaves = bush * uniform(0.9, 1.1)
            draw.ellipse(fine(box((x + shift, y - diameter / 3), diameter, diameter)), fill=rgb(leaves))
    return np.asarray(picture.reduce(OVERSAMPLING), dtype=np.float64)


def draw_animal(uniform: Uniform, scale: float, feet: float) -> Animal:
    """An animal that stands on the row `feet` and faces left or right."""
    animal = Animal()
    facing = 1 if uniform(0, 1) < 0.5 else -1
    centre = uniform(29, 35) - 3 * facing
    period = uniform(5.2, 6.2)
    length, height = uniform(27, 32) * scale, uniform(12.5, 15.5) * scale
    leg, leg_width = uniform(14, 18) * scale, uniform(4.2, 5.2) * scale
    slope = uniform(-0.08, 0.08)
    middle = feet - leg - height * 0.25

    def place(forward: float, down: float) -> Point:
        """A point relative to the middle of the body."""
        return centre + facing * forward, middle + down - slope * forward

    def add_leg(forward: float, brightness: float) -> None:
        hip = place(forward, height * 0.2)
        foot = (centre + facing * (forward + uniform(-3.5, 3.5) * scale), feet)
        animal.add_limb([(hip, leg_width * 1.3), (foot, leg_width * 0.85)], brightness, period * 0.9)

    hind, fore = -length * 0.36, length * 0.34
    add_leg(hind + 3.5 * scale, 0.72)
    add_leg(fore - 3.0 * scale, 0.72)

    rump = place(-length * 0.47, -height * 0.15)
    tail = place(-length * 0.47 - uniform(2, 6) * scale, height * uniform(0.3, 0.8))
    animal.add_limb([(rump, 2.4 * scale), (tail, 2.4 * scale)], 0.8, None)

    withers = place(length * 0.36, -height * 0.08)
    raised = uniform(-0.1, 1.1)  # radians above the horizontal: from a head stretched forward to a raised head
    neck = uniform(11, 14) * scale
    poll = (withers[0] + facing * neck * math.cos(raised), withers[1] - neck * math.sin(raised))
    lowered = uniform(0.3, 0.9)
    skull = uniform(8, 10) * scale
    muzzle = (poll[0] + facing * skull * math.cos(lowered), poll[1] + skull * math.sin(lowered))
    for shift in (-1.4, 0.6):
        ear = (poll[0] + facing * shift * scale, poll[1] - 2 * scale)
        tip = (ear[0] - facing * 0.8 * scale, ear[1] - 4 * scale)
        animal.add_limb([(ear, 2.6 * scale), (tip, 0.8 * scale)], 0.85, None)

    tail_end, chest = place(-length / 2, 0), place(length / 2, 0)
    belly = [  # an ellipse that leans with the body
        place(length / 2 * math.cos(turn), height / 2 * math.sin(turn))
        for turn in (2 * math.pi * step / 40 for step in range(40))
    ]
    body = animal.add_part(stripes_along(tail_end, chest, period), 1.0)
    animal.draw.polygon(fine(belly), fill=body)
    add_leg(hind, 1.0)
    add_leg(fore, 1.0)
    animal.add_limb([(withers, height * 0.72), (poll, 6 * scale)], 1.0, period)
    animal.add_limb([(poll, 6.4 * scale), (muzzle, 4.2 * scale)], 0.95, period * 0.9)
    eye = animal.add_part(NO_STRIPES, 0.25)
    at = (poll[0] + (muzzle[0] - poll[0]) * 0.3, poll[1] + (muzzle[1] - poll[1]) * 0.3 - scale)
    animal.draw.ellipse(fine(box(at, 1.3, 1.3)), fill=eye)
    return animal


def stripes_along(start: Point, end: Point, period: float) -> Phase:
    """Numbers (a, b, c): a x + b y + c is 0.25 at `start`, the middle of a stripe, and grows by 1 in each period."""
    x, y = unit(end[0] - start[0], end[1] - start[1])
    a, b = x / period, y / period
    return a, b, 0.25 - a * start[0] - b * start[1]


def unit(x: float, y: float) -> Point:
    """The vector of length 1 in the direction of (x, y)."""
    length = math.sqrt(x * x + y * y)
    return x / length, y / length


def box(centre: Point, width: float, height: float) -> list[Point]:
    """The two corners of the box in which Pillow draws an ellipse."""
    x, y = centre
    return [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)]


def fine(points: list[Point]) -> list[tuple[int, int]]:
    """Oversampled coordinates. They are whole numbers, so that the last bit of a cosine does not matter."""
    return [(round(x * OVERSAMPLING), round(y * OVERSAMPLING)) for x, y in points]


def pick(uniform: Uniform, choices: np.ndarray) -> np.ndarray:
    """One of the rows, all with the same probability."""
    row: np.ndarray = choices[int(uniform(0, len(choices)))]
    return row


def rgb(colour: np.ndarray) -> tuple[int, int, int]:
    """A colour in the form that Pillow needs."""
    red, green, blue = to_bytes(colour).tolist()
    return red, green, blue


def shrink(picture: np.ndarray) -> np.ndarray:
    """The mean of each block of 4x4 pixels: from [256, 256] to [64, 64, 1]."""
    rows = picture.reshape(SIZE, OVERSAMPLING, -1).sum(axis=1)
    means: np.ndarray = rows.reshape(SIZE, SIZE, OVERSAMPLING).sum(axis=2, keepdims=True) / OVERSAMPLING**2
    return means


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Values rounded and clipped to 0..255, as uint8."""
    pixels: np.ndarray = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return pixels
