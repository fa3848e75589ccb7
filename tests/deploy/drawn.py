"""Pictures of digits as people make them, drawn by a program: strokes with a pen, on paper, photographed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = list[tuple[float, float]]


def arc(x: float, y: float, width: float, height: float, start: float, end: float, points: int = 40) -> Points:
    """A part of an ellipse about (x, y), clockwise from the top."""
    angles = np.linspace(start, end, points)
    return [(x + width * float(np.sin(angle)), y - height * float(np.cos(angle))) for angle in angles]


# Strokes in a unit square, y downwards. Each digit as somebody may write it.
STROKES: dict[str, list[Points]] = {
    "0": [arc(0.5, 0.5, 0.28, 0.45, 0, 2 * np.pi)],
    "1": [[(0.35, 0.2), (0.52, 0.05), (0.52, 0.95)]],
    "2": [[*arc(0.5, 0.3, 0.26, 0.25, -1.4, 2.2, 25), (0.22, 0.93), (0.8, 0.93)]],
    "3": [arc(0.48, 0.27, 0.24, 0.22, -1.1, 3.1, 25) + arc(0.48, 0.72, 0.28, 0.23, 0, 4.2, 25)],
    "4": [[(0.38, 0.05), (0.2, 0.6), (0.82, 0.6)], [(0.66, 0.3), (0.62, 0.97)]],
    "5": [[(0.33, 0.07), (0.28, 0.45), *arc(0.45, 0.67, 0.28, 0.26, -0.7, 4.0, 30)], [(0.32, 0.07), (0.76, 0.07)]],
    "6": [[(0.66, 0.05), (0.42, 0.3), (0.28, 0.6), *arc(0.5, 0.72, 0.23, 0.22, -1.6, 4.8)]],
    "7": [[(0.2, 0.08), (0.8, 0.08), (0.42, 0.95)]],
    "8": [arc(0.5, 0.27, -0.21, 0.21, 0, 2 * np.pi), arc(0.5, 0.71, 0.26, 0.24, 0, 2 * np.pi)],
    "9": [[*arc(0.5, 0.29, 0.24, 0.23, 1.4, 7.7), (0.72, 0.35), (0.62, 0.96)]],
}


def draw(
    digit: str,
    size: tuple[int, int] = (300, 300),
    pen: float = 0.06,
    ink: Any = (30, 30, 60),
    paper: Any = (255, 255, 255),
    box: tuple[float, float, float, float] = (0.25, 0.15, 0.75, 0.85),
    slant: float = 0.0,
) -> Image.Image:
    """A digit on plain paper; the pen's width and the box are shares of the picture's height and sides."""
    over = 4  # drawn larger, for smooth edges
    width, height = size[0] * over, size[1] * over
    picture = Image.new("RGB", (width, height), paper)
    pencil = ImageDraw.Draw(picture)
    left, top, right, bottom = box[0] * width, box[1] * height, box[2] * width, box[3] * height
    thick = pen * height
    for stroke in STROKES[digit]:
        points = [(left + (x + slant * (0.5 - y)) * (right - left), top + y * (bottom - top)) for x, y in stroke]
        pencil.line(points, fill=ink, width=round(thick), joint="curve")
        for x, y in (points[0], points[-1]):
            pencil.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=ink)
    return picture.resize(size, Image.Resampling.BOX)


def written(text: str) -> Image.Image:
    """Digits side by side in lines, with a line for each word."""
    lines = text.split()
    paper = Image.new("RGB", (100 * max(map(len, lines)), 150 * len(lines)), "white")
    for row, line in enumerate(lines):
        for column, digit in enumerate(line):
            paper.paste(draw(digit, size=(100, 150), box=(0.2, 0.15, 0.8, 0.85)), (100 * column, 150 * row))
    return paper


def photographed(picture: Image.Image, seed: int = 0, shade: float = 0.35, noise: float = 5.0) -> Image.Image:
    """As taken with a telephone: one side darker, a grey cast, noise."""
    random = np.random.default_rng(seed)
    levels = np.asarray(picture, np.float64)
    light = 1 - shade * np.linspace(0, 1, levels.shape[1])[None, :, None] ** 1.5
    taken = levels * light * 0.85 + random.normal(0, noise, levels.shape)
    return Image.fromarray(np.clip(taken, 0, 255).astype(np.uint8))


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


STYLES: dict[str, Any] = {
    "pen on white paper": draw,
    "thin pencil, small on a large sheet": lambda digit: draw(
        digit, size=(900, 700), pen=0.008, ink=(90, 90, 90), box=(0.6, 0.2, 0.72, 0.45)
    ),
    "felt pen, slanted": lambda digit: draw(digit, pen=0.11, ink=(180, 20, 20), slant=0.25),
    "chalk on a blackboard": lambda digit: draw(digit, ink=(235, 235, 225), paper=(25, 45, 35), pen=0.05),
    "photographed": lambda digit: photographed(draw(digit, size=(640, 480), pen=0.05, box=(0.3, 0.2, 0.6, 0.8))),
    "tiny": lambda digit: draw(digit, size=(32, 32), pen=0.09),
}


def grey_levels(picture: Image.Image) -> NDArray[np.uint8]:
    """The grey levels of a picture, (height, width)."""
    return np.asarray(picture.convert("L"))
