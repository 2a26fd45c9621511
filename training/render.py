"""Rendered photos of mouths with exact boxes of the teeth: examples and training data free of patients.

A mouth is a set of teeth along two dental arches in millimetres, seen by a camera with yaw, pitch and perspective.
`_build` decides where everything is, `_paint` decides what colour it has, `_photograph` adds what a camera adds. What
is where never depends on the lesions, so one seed with and without caries is the same mouth in the same photo.
Crown widths and heights are the textbook means (Wheeler's Dental Anatomy); colours and framing imitate photos taken
with phones and with cheek retractors. No pixel of a real photo is used.

    python -m training.render --out DIR --count N --seed S
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

Floats = npt.NDArray[np.float32]
Range = tuple[float, float]

SUPERSAMPLING = 2
"""Subpixels per pixel along each axis, in which the hard edges of the crowns are drawn."""

MIN_VISIBLE = 0.25
"""Share of a crown's outline that must be in sight for the tooth to get a box."""

MIN_BOX = 6
"""Pixels of the photo; a tooth seen narrower or lower than this gets no box."""

MIN_TURN = 0.34
"""A crown turned so far that less than this share of its width shows is behind the cheek."""

PIVOT = 20.0
"""mm behind the front teeth about which the head turns."""

MAX_SIDE = 4096
"""Pixels; a larger photo would take gigabytes of memory."""

FOLDS = 5

JPEG_QUALITY = 92


@dataclass(frozen=True)
class RenderedMouth:
    """One rendered photo.

    Attributes:
        image: uint8 `[height, width, 3]`, RGB.
        boxes: float32 `[n, 4]`, `[ymin, xmin, ymax, xmax]` in whole pixels: the tight box of the visible part of
            each crown.
        labels: n times `normal` or `caries`.
    """

    image: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """How a mouth is framed; every range in millimetres is drawn from uniformly.

    Attributes:
        span: width of the photo.
        gap: between the incisal edges of the jaws; negative where the upper teeth overlap the lower ones.
        top, bottom: how far the lips uncover gum beyond the necks of the upper and of the lower front teeth.
        half_width: from the midline to the corner of the lips.
        corner: height of that corner, 0 at the top of the opening, 1 at its bottom.
        roundness: exponent of the opening's outline; 2 is an ellipse, more is boxier.
        focus: what the photo is centred on: `opening`, `upper`, `lower` or `bite`, where the jaws meet.
        aside: how far the photo is centred from the midline.
        yaw: radians by which the head is turned, at most.
        jaws: `l`, `u` or `lu`, the lower teeth and the upper ones, which bite in front of them.
    """

    span: Range
    gap: Range
    top: Range
    bottom: Range
    half_width: Range
    corner: Range
    roundness: Range
    focus: str
    aside: float
    yaw: float
    jaws: str = "lu"


VIEWS = {
    "retracted": View((42, 60), (-2.5, 0.5), (7, 16), (6, 14), (32, 44), (0.4, 0.6), (3, 5), "opening", 5, 0.3),
    "smile": View((58, 96), (-2.5, 2.5), (-2.5, 2), (-6, -1), (23, 28), (0.15, 0.4), (1.8, 2.4), "opening", 4, 0.25),
    "open": View((54, 84), (12, 24), (-2.5, 2), (-5, 0), (23, 28), (0.35, 0.55), (1.9, 2.5), "opening", 4, 0.25),
    "upper": View((36, 52), (16, 26), (3, 14), (6, 12), (30, 42), (0.4, 0.6), (2.5, 4), "upper", 5, 0.35, "u"),
    "lower": View((36, 52), (16, 26), (6, 12), (3, 13), (30, 42), (0.4, 0.6), (2.5, 4), "lower", 5, 0.35, "l"),
    "close": View((22, 31), (-2.5, 0.5), (9, 14), (9, 14), (34, 40), (0.4, 0.6), (4, 6), "bite", 11, 0.45),
}
"""The views by name: cheek retractors, a smile, a mouth wide open, one arch, and a few large teeth."""

VIEW_SHARES = (0.32, 0.22, 0.12, 0.12, 0.10, 0.12)


@dataclass(frozen=True)
class _Form:
    """Outline of a kind of crown: neck width over largest width, heights of the rounded neck and corners, edge."""

    neck: float
    cap: float
    mesial: float
    distal: float
    sharpness: float
    cusps: int


_CENTRAL = _Form(0.82, 0.20, 0.09, 0.18, 2.7, 1)
_LATERAL = _Form(0.80, 0.20, 0.12, 0.24, 2.4, 1)
_CANINE = _Form(0.82, 0.20, 0.24, 0.32, 1.75, 1)
_PREMOLAR = _Form(0.84, 0.18, 0.20, 0.24, 2.0, 1)
_MOLAR = _Form(0.92, 0.17, 0.15, 0.18, 2.6, 2)
_LOWER_INCISOR = _Form(0.74, 0.18, 0.07, 0.10, 3.0, 1)

_CROWNS = {
    "u": (
        (_CENTRAL, 8.6, 10.4), (_LATERAL, 6.7, 9.0), (_CANINE, 7.6, 9.8), (_PREMOLAR, 7.0, 8.4),
        (_PREMOLAR, 6.8, 7.8), (_MOLAR, 10.2, 7.2), (_MOLAR, 9.6, 6.8),
    ),
    "l": (
        (_LOWER_INCISOR, 5.3, 8.6), (_LOWER_INCISOR, 5.9, 8.8), (_CANINE, 6.9, 9.8), (_PREMOLAR, 7.0, 8.4),
        (_PREMOLAR, 7.1, 7.9), (_MOLAR, 11.0, 7.3), (_MOLAR, 10.4, 7.0),
    ),
}  # fmt: skip
"""Form, width and height in mm of the crowns of one side, from the midline backwards."""

_ARCHES = {"u": (29.5, 44.0, 0.0), "l": (27.0, 40.0, 2.2)}
"""Half width and depth of each arch's ellipse, and how far it lies behind the upper front teeth, in mm."""


@dataclass(frozen=True)
class _Tooth:
    """A crown, in pixels: `origin + u * across + v * along`; u from -1 mesial to 1 distal, v from 0 neck to 1 edge."""

    jaw: str
    form: _Form
    size: tuple[float, float]
    origin: Floats
    across: Floats
    along: Floats
    depth: float
    outline: Floats


@dataclass(frozen=True)
class _Mouth:
    """Where everything is, in pixels of the photo.

    Attributes:
        scale: pixels per mm.
        teeth: far ones first, each jaw for itself, the lower jaw first.
        margins: per jaw float32 `[n, 2]`, x and y of the tips of the papillae, by x.
        lips: four float32 `[width]`, y per column: outer and inner edge of the upper lip, inner and outer edge of
            the lower one. Where the inner edges cross, the mouth is closed.
        owners: int16 `[height, width]` in subpixels, 1 + index of the tooth in sight, 0 elsewhere.
        gap: mm between the jaws.
        centre: x and y of the point midway between the edges of the front teeth.
        smiling: whether lips and skin frame the teeth, rather than a retracted cheek.
    """

    scale: float
    teeth: list[_Tooth]
    margins: dict[str, Floats]
    lips: tuple[Floats, Floats, Floats, Floats]
    owners: npt.NDArray[np.int16]
    gap: float
    centre: tuple[float, float]
    smiling: bool


def _stream(seed: int, *which: int) -> np.random.Generator:
    """A generator of its own for each purpose, so that more lesions do not change the noise."""
    return np.random.default_rng((seed, *which))


def _profile(form: _Form, v: Floats, corner: float) -> Floats:
    """Half width at height v, 1 at the widest."""
    body = form.neck + (1 - form.neck) * np.sin(np.clip(v / 0.75, 0, 1) * np.pi / 2)
    body = body * (1 - 0.05 * np.clip((v - 0.75) / 0.25, 0, 1))
    neck = np.sqrt(np.clip(1 - (1 - np.clip(v / form.cap, 0, 1)) ** 2, 0, 1))
    t = np.clip((v - 1 + corner) / corner, 0, 1)
    edge = np.clip(1 - t**form.sharpness, 0, 1) ** (1 / form.sharpness)
    return np.asarray(body * neck * edge, np.float32)


def _outline(form: _Form) -> Floats:
    """float32 `[n, 2]`, (u, v) around the crown."""
    v = (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 40))).astype(np.float32)
    distal = np.stack([_profile(form, v, form.distal), v], axis=1)
    mesial = np.stack([-_profile(form, v, form.mesial), v], axis=1)
    around = np.concatenate([distal, mesial[::-1]])
    if form.cusps > 1:
        around[:, 1] -= 0.07 * np.exp(-((around[:, 0] / 0.22) ** 2)) * (around[:, 1] > 0.5)
    return around


@dataclass(frozen=True)
class _Camera:
    """A head turned by yaw, pitch and roll (radians) before a lens `distance` mm away.

    Points are millimetres: x to the right, y down from where the jaws meet, z from the front teeth to the throat.
    `scale` is pixels per mm, `aim` the point that the middle of the photo shows, as `project` gives it.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float
    scale: float
    size: tuple[int, int]
    aim: tuple[float, float] = (0.0, 0.0)

    def project(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Perspective x and y, and the depth, in mm."""
        z -= PIVOT
        x, z = x * np.cos(self.yaw) - z * np.sin(self.yaw), x * np.sin(self.yaw) + z * np.cos(self.yaw)
        y, z = y * np.cos(self.pitch) - z * np.sin(self.pitch), y * np.sin(self.pitch) + z * np.cos(self.pitch)
        near = self.distance / (self.distance + z + PIVOT)
        x, y = x * np.cos(self.roll) - y * np.sin(self.roll), x * np.sin(self.roll) + y * np.cos(self.roll)
        return float(x * near), float(y * near), float(z)

    def place(self, x: float, y: float, z: float) -> tuple[Floats, float]:
        """float32 `[2]`, x and y in pixels of the photo, and the depth in mm."""
        across, down, depth = self.project(x, y, z)
        return np.array([self.column(across), self.row(down)], np.float32), depth

    def column(self, across: float) -> float:
        """Pixels from the left of a projected x."""
        return (across - self.aim[0]) * self.scale + self.size[0] / 2

    def row(self, down: float) -> float:
        """Pixels from the top of a projected y."""
        return (down - self.aim[1]) * self.scale + self.size[1] / 2


def _build(seed: int, view: View, width: int, height: int) -> _Mouth:
    """Places teeth, gums and lips in a photo of `width` x `height` pixels."""
    rng = _stream(seed, 0)
    gap = rng.uniform(*view.gap)
    size = rng.uniform(0.92, 1.08)
    top = -gap / 2 - 10.2 * size - rng.uniform(*view.top)
    bottom = gap / 2 + 8.7 * size + rng.uniform(*view.bottom)
    focus = {"opening": (top + bottom) / 2, "upper": -gap / 2 - 5, "lower": gap / 2 + 5, "bite": rng.uniform(-5, 2)}
    aside = rng.uniform(-view.aside, view.aside)
    camera = _Camera(
        # A photo of one side is taken from that side.
        yaw=-rng.uniform(0, view.yaw) * float(np.sign(aside)),
        pitch=rng.normal(0.05, 0.07),
        roll=rng.normal(0, 0.03),
        distance=rng.uniform(110, 260),
        scale=width / rng.uniform(*view.span),
        size=(width, height),
    )
    aim = camera.project(aside, focus[view.focus] + rng.normal(0, 1.0), 2 + aside**2 / 30)
    camera = replace(camera, aim=aim[:2])

    teeth: list[_Tooth] = []
    margins: dict[str, Floats] = {}
    crooked, spaced = min(1.6, rng.gamma(1.2, 0.5)), max(0.0, rng.normal(-0.1, 0.35))
    for jaw in view.jaws:
        found, margins[jaw] = _place_teeth(rng, camera, jaw, gap, size, crooked, spaced)
        teeth += sorted(found, key=lambda tooth: -tooth.depth)

    lips = _place_lips(rng, camera, view, top, bottom)
    owners = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.int16)
    for index, tooth in enumerate(teeth):
        mask, rows, columns = _mask(tooth, owners.shape)
        owners[rows, columns][mask > 0] = index + 1
    ys = (np.arange(len(owners), dtype=np.float32)[:, None] + 0.5) / SUPERSAMPLING
    owners[(ys < np.repeat(lips[1], SUPERSAMPLING)) | (ys > np.repeat(lips[2], SUPERSAMPLING))] = 0
    centre = camera.column(0), camera.row(0)
    return _Mouth(camera.scale, teeth, margins, lips, owners, gap, centre, smiling=view.span[1] > 70)


def _place_teeth(
    rng: np.random.Generator, camera: _Camera, jaw: str, gap: float, size: float, crooked: float, spaced: float
) -> tuple[list[_Tooth], Floats]:
    """The crowns of a jaw that face the camera, and the tips of the papillae as in `_Mouth.margins`."""
    half, deep, behind = _ARCHES[jaw]
    angles = np.linspace(0, np.pi / 2, 200)
    arc = np.concatenate([[0], np.cumsum(np.hypot(np.diff(half * np.sin(angles)), np.diff(deep * np.cos(angles))))])
    up = -1.0 if jaw == "u" else 1.0
    tips: list[Floats] = []
    teeth: list[_Tooth] = []
    for side in (-1.0, 1.0):
        at = 0.0
        for form, mean_width, mean_height in _CROWNS[jaw]:
            wide, tall = mean_width * size * rng.uniform(0.96, 1.04), mean_height * size * rng.uniform(0.93, 1.07)
            space = spaced * rng.uniform(0, 1.4)
            ends = np.interp([at + space / 2, at + space / 2 + wide], arc, angles)
            at += wide + space
            forward, longer = rng.normal(0, 0.35 * crooked, 2)
            lean, twist = rng.normal(0, 0.05 * crooked) * tall, 1.05 + rng.normal(0, 0.04 * crooked)
            xs = side * half * np.sin(ends) * size
            zs = deep * (1 - np.cos(ends)) * size + behind + forward
            # The back teeth of an open jaw come closer to each other than the front teeth.
            hinge = 1 - 0.012 * zs.mean() if gap > 4 else 1.0
            edge = up * gap / 2 * hinge + longer
            mesial, _ = camera.place(xs[0], edge + up * tall, zs[0])
            distal, depth = camera.place(xs[1], edge + up * tall, zs[1])
            tip, _ = camera.place(xs.mean() + lean, edge, zs.mean() - 0.5)
            if (distal - mesial)[0] * side < MIN_TURN * wide * camera.scale:
                continue
            origin = np.asarray((mesial + distal) / 2, np.float32)
            across = np.asarray((distal - mesial) * (twist / 2), np.float32)
            along = tip - origin
            around = _outline(form)
            outline = origin + around[:, :1] * across + around[:, 1:] * along
            teeth.append(_Tooth(jaw, form, (wide, tall), origin, across, along, depth, outline))
            papilla = np.asarray((0.46 - 0.14 * min(1.0, space)) * along, np.float32)
            tips += [mesial + papilla, distal + papilla]
    return teeth, np.array(sorted(map(tuple, tips)), np.float32).reshape(-1, 2)


def _place_lips(
    rng: np.random.Generator, camera: _Camera, view: View, top: float, bottom: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """`_Mouth.lips` of an opening from `top` to `bottom`, in mm."""
    x = (np.arange(camera.size[0], dtype=np.float32) - camera.size[0] / 2) / camera.scale + camera.aim[0]
    half_width = rng.uniform(*view.half_width)
    corner = top + (bottom - top) * rng.uniform(*view.corner)
    bulge = np.clip(1 - np.abs(x / half_width) ** rng.uniform(*view.roundness), 0, 1) ** rng.uniform(0.55, 0.8)
    outer = np.clip(1 - np.abs(x / (half_width + 3)) ** 2.2, 0, 1) ** 0.8
    thick_u, thick_l = rng.uniform(4.5, 9), rng.uniform(6, 11)
    bow = 1.1 * np.exp(-((x / 3.5) ** 2)) * rng.uniform(0, 1)
    inner_u, inner_l = corner - (corner - top) * bulge + bow * 0.4, corner + (bottom - corner) * bulge
    outer_u = np.minimum(corner - (corner - top + thick_u) * outer + bow, inner_u - 0.5)
    outer_l = np.maximum(corner + (bottom - corner + thick_l) * outer, inner_l + 0.5)

    def row(y: npt.NDArray[np.floating]) -> Floats:
        down = (y + np.tan(camera.roll) * x) * camera.distance / (camera.distance + 4)
        return np.asarray((down - camera.aim[1]) * camera.scale + camera.size[1] / 2, np.float32)

    return row(outer_u), row(inner_u), row(inner_l), row(outer_l)


def _mask(tooth: _Tooth, shape: tuple[int, ...], pad: int = 0) -> tuple[npt.NDArray[np.uint8], slice, slice]:
    """0 or 255 around the crown, in subpixels of a picture of this shape, and the rows and columns of that part."""
    outline = tooth.outline * SUPERSAMPLING
    low = np.floor(outline.min(axis=0)).astype(int) - pad
    high = np.ceil(outline.max(axis=0)).astype(int) + 1 + pad
    left, top = np.clip(low, 0, shape[1::-1])
    right, bottom = np.clip(high, 0, shape[1::-1])
    picture = Image.new("L", (max(0, int(right - left)), max(0, int(bottom - top))))
    if picture.width and picture.height:
        ImageDraw.Draw(picture).polygon([(float(x - left), float(y - top)) for x, y in outline], fill=255)
    return np.asarray(picture), slice(int(top), int(bottom)), slice(int(left), int(right))


def _step(low: float, high: float, value: npt.NDArray[np.floating]) -> Floats:
    """Smooth 0 to 1 as value goes from low to high."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _blend(canvas: Floats, colour: npt.ArrayLike, weight: npt.NDArray[np.floating]) -> None:
    """Mixes a colour, `[3]` or `[h, w, 3]`, into the canvas in place."""
    canvas += (np.asarray(colour, np.float32) - canvas) * weight.astype(np.float32, copy=False)[..., None]


def _noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float], octaves: int = 3) -> Floats:
    """Smooth noise of about unit deviation; `cell` is the size of its coarsest blobs, down and across, in pixels."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows = max(2, round(shape[0] / cell[0] * 2**octave) + 1)
        columns = max(2, round(shape[1] / cell[1] * 2**octave) + 1)
        grid = rng.standard_normal((min(rows, shape[0]), min(columns, shape[1])), np.float32)
        smooth = Image.fromarray(grid).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
        total += np.asarray(smooth) * 0.6**octave
    total /= total.std() + np.float32(1e-6)
    return total


_ENAMELS = np.array([(0.95, 0.94, 0.92), (0.93, 0.90, 0.82), (0.90, 0.84, 0.70), (0.86, 0.77, 0.57)], np.float32)
_SKINS = np.array([(0.91, 0.74, 0.64), (0.85, 0.64, 0.53), (0.72, 0.50, 0.38), (0.50, 0.33, 0.25)], np.float32)
_LIPS = np.array([(0.80, 0.45, 0.43), (0.75, 0.36, 0.36), (0.60, 0.30, 0.30), (0.70, 0.18, 0.28)], np.float32)
_GUMS = np.array([(0.88, 0.58, 0.57), (0.84, 0.46, 0.47), (0.76, 0.36, 0.38), (0.68, 0.42, 0.40)], np.float32)


def _pick(rng: np.random.Generator, palette: Floats) -> Floats:
    """A colour between two neighbours of the palette."""
    at = rng.uniform(0, len(palette) - 1)
    index = int(at)
    following = palette[min(index + 1, len(palette) - 1)]
    return np.asarray(palette[index] + (following - palette[index]) * (at - index), np.float32)


def _paint(mouth: _Mouth, seed: int, carious: Sequence[int]) -> Floats:
    """float32 `[height, width, 3]`, 0 to 1: the mouth with lesions on the teeth of these indices."""
    height, width = (side // SUPERSAMPLING for side in mouth.owners.shape)
    rng = _stream(seed, 1)
    scale = mouth.scale
    coarse = _noise(rng, (height, width), (9 * scale, 9 * scale), 2)
    medium = _noise(rng, (height, width), (2.2 * scale, 2.2 * scale), 3)
    fine = _noise(rng, (height, width), (2, 2), 2)
    x = (np.arange(width, dtype=np.float32) - mouth.centre[0]) / scale
    y = ((np.arange(height, dtype=np.float32) - mouth.centre[1]) / scale)[:, None]

    canvas = np.empty((height, width, 3), np.float32)
    depth = np.array([0.13, 0.035, 0.03], np.float32) * rng.uniform(0.5, 1.5)
    cheek = np.array([0.72, 0.34, 0.33], np.float32) * rng.uniform(0.7, 1.1)
    canvas[:] = depth + (cheek - depth) * _step(16, 32, np.abs(x))[None, :, None] * 0.9
    canvas *= (1 + 0.15 * coarse)[..., None]
    if mouth.gap > 6:
        _paint_tongue(canvas, mouth, rng, x, y, medium, fine)
    gum = _pick(rng, _GUMS)
    enamel = _pick(rng, _ENAMELS)
    flash = rng.uniform(0.4, 1.0)
    light = rng.normal(0, 0.25), rng.uniform(0.25, 0.5)
    fields = coarse, medium, fine
    for jaw in mouth.margins:
        _paint_gum(canvas, mouth, jaw, gum, flash, rng, fields)
    large = _magnified(canvas)
    large_fields = _magnified(coarse), _magnified(medium), _magnified(fine)
    for index in range(len(mouth.teeth)):
        _paint_tooth(large, mouth, index, enamel, flash, light, seed, index in carious, large_fields)
    # Sums of strided slices are several times faster than a mean over short axes.
    canvas[:] = 0
    for row, column in np.ndindex(SUPERSAMPLING, SUPERSAMPLING):
        canvas += large[row::SUPERSAMPLING, column::SUPERSAMPLING]
    canvas /= SUPERSAMPLING**2
    _paint_face(canvas, mouth, rng, fields)
    return canvas


def _magnified(picture: Floats) -> Floats:
    """Each pixel as `SUPERSAMPLING` x `SUPERSAMPLING` subpixels."""
    return picture.repeat(SUPERSAMPLING, axis=0).repeat(SUPERSAMPLING, axis=1)


def _paint_tongue(
    canvas: Floats,
    mouth: _Mouth,
    rng: np.random.Generator,
    x: npt.NDArray[np.floating],
    y: npt.NDArray[np.floating],
    medium: Floats,
    fine: Floats,
) -> None:
    """The tongue of an open mouth, and the palate or the floor of the mouth behind it."""
    palate = np.array([0.62, 0.28, 0.27], np.float32) * rng.uniform(0.5, 1.1)
    reach = mouth.gap / 2
    if "u" in mouth.margins:
        _blend(canvas, palate, 0.7 * _step(reach * 0.9, -reach * 1.6, y + 0.02 * x**2 + 0.4 * medium))
    level = rng.uniform(-0.3, 0.5) * reach
    radius = rng.uniform(15, 21)
    bulk = 1 - (x / radius) ** 2 - (np.clip(level + 9 - y, 0, None) / 10) ** 2 + 0.012 * medium
    tongue = np.array([0.78, 0.42, 0.41], np.float32) * rng.uniform(0.75, 1.1)
    light = 0.62 + 0.4 * _step(0, 0.9, bulk) + 0.025 * fine - 0.10 * np.exp(-((x / 1.2) ** 2)) + 0.06 * medium
    _blend(canvas, tongue * light[..., None], _step(-0.03, 0.08, bulk))
    _blend(canvas, (1, 0.95, 0.93), 0.5 * _step(1.4, 2.2, medium + 0.1 * fine) * _step(0.3, 0.8, bulk))


def _paint_gum(
    canvas: Floats,
    mouth: _Mouth,
    jaw: str,
    colour: Floats,
    flash: float,
    rng: np.random.Generator,
    fields: tuple[Floats, Floats, Floats],
) -> None:
    """The gum of a jaw from the papillae to the fold of the cheek, with bulges over the roots, veins and wet spots."""
    coarse, medium, fine = fields
    height, width = coarse.shape
    scale = mouth.scale
    points = mouth.margins[jaw]
    columns = np.arange(width, dtype=np.float32)
    up = 1.0 if jaw == "u" else -1.0
    tips = np.interp(columns, points[:, 0], points[:, 1])
    beyond = np.clip(points[0, 0] - columns, 0, None) + np.clip(columns - points[-1, 0], 0, None)
    tips -= up * beyond * 0.15
    rows = np.arange(height, dtype=np.float32)[:, None]
    above = (up * (tips[None, :] - rows) / scale).astype(np.float32)
    # Beyond the last tooth the gum passes into the cheek without an edge.
    soft = np.clip(0.25 * beyond / scale, 0, 3).astype(np.float32)
    inside = _step(0, 1, (above + 0.06 * medium + 0.08 + soft) / (0.2 + 2 * soft))
    roots = np.array(sorted(float(tooth.origin[0]) for tooth in mouth.teeth if tooth.jaw == jaw))
    phase = np.interp(columns, roots, np.arange(len(roots))) if len(roots) else columns * 0
    bulge = np.cos(2 * np.pi * phase).astype(np.float32)
    mucosa = colour * np.array([0.92, 0.66, 0.68], np.float32) * rng.uniform(0.85, 1.0)
    fold = _step(7, 12, above + 0.5 * coarse + 1.2 * bulge)
    base = colour + (mucosa - colour) * fold[..., None]
    rim = np.exp(-(((above - 3.4) / 1.5) ** 2))
    light = 0.98 + 0.07 * bulge * _step(2, 5, above) + 0.06 * coarse + 0.035 * medium + 0.02 * fine + 0.05 * rim
    light = light - 0.25 * _step(12, 22, above) - 0.18 * _step(26, 40, np.abs(columns - mouth.centre[0]) / scale)[None]
    base *= light[..., None]
    inflamed = rng.uniform(0, 0.5) * np.exp(-(((above - 2) / 2.2) ** 2)) * _step(-0.5, 1.5, coarse)
    base *= 1 - inflamed[..., None] * np.array([0.08, 0.4, 0.35], np.float32)
    veins = _noise(rng, (height, width), (7 * scale, 2.6 * scale), 2)
    vein = np.exp(-((veins / 0.07) ** 2)) * fold * rng.uniform(0.1, 0.4)
    base *= 1 - vein[..., None] * np.array([0.3, 0.6, 0.5], np.float32)
    _blend(canvas, base, inside)
    sheen = 0.8 * medium + 0.5 * coarse + 0.7 * bulge * (1 - fold)
    wet = _step(1.7, 2.9, sheen + 0.1 * fine) * _step(1.0, 3, above)
    _blend(canvas, (1.0, 0.96, 0.96), (0.10 * _step(0.4, 2.2, sheen) + 0.8 * wet) * flash * inside)


def _paint_tooth(
    canvas: Floats,
    mouth: _Mouth,
    index: int,
    enamel: Floats,
    flash: float,
    light: tuple[float, float],
    seed: int,
    carious: bool,
    fields: tuple[Floats, Floats, Floats],
) -> None:
    """One crown with its contact shadow and, where carious, its lesions."""
    tooth = mouth.teeth[index]
    rng = _stream(seed, 2, index)
    scale = mouth.scale * SUPERSAMPLING
    mask, rows, columns = _mask(tooth, mouth.owners.shape, pad=int(1.2 * scale))
    if not mask.size or not mask.any():
        return
    cover = ndimage.gaussian_filter(mask.astype(np.float32) / 255, 0.7)
    patch = canvas[rows, columns]
    patch *= 1 - 0.55 * ndimage.uniform_filter(cover, max(3, int(1.3 * scale)))[..., None]

    ys, xs = (np.mgrid[rows, columns].astype(np.float32) + 0.5) / SUPERSAMPLING
    (ax, ay), (bx, by) = tooth.across, tooth.along
    dx, dy = xs - tooth.origin[0], ys - tooth.origin[1]
    det = ax * by - ay * bx
    u, v = (dx * by - dy * bx) / det, (dy * ax - dx * ay) / det
    heights = np.linspace(0, 1, 256, dtype=np.float32)
    nearest = (np.clip(v, 0, 1) * 255).astype(np.intp)
    distal, mesial = (
        np.maximum(_profile(tooth.form, heights, corner), 0.35)[nearest]
        for corner in (tooth.form.distal, tooth.form.mesial)
    )
    half = np.where(u > 0, distal, mesial)
    lateral = np.clip(np.abs(u) / half, 0, 1.2)
    coarse, medium, fine = (field[rows, columns] for field in fields)

    base = enamel * (1 + rng.normal(0, 0.022)) + rng.normal(0, 0.005, 3).astype(np.float32)
    if tooth.form is _CANINE:
        base = base * np.array([0.985, 0.965, 0.92], np.float32)
    colour = np.broadcast_to(base, (*u.shape, 3)).copy()
    neck = np.clip(1 - v / 0.75, 0, 1) ** 2 * rng.uniform(0.25, 0.6)
    _blend(colour, base * np.array([0.95, 0.85, 0.62], np.float32), neck)
    clear = _step(0.78, 1.0, v) * (0.45 if tooth.form.cusps == 1 else 0.15)
    _blend(colour, (0.70, 0.75, 0.80), clear * (0.7 + 0.3 * np.cos(9 * u)))
    cubed = lateral * lateral * lateral
    shade = 1.02 - 0.34 * cubed - 0.10 * cubed * cubed * cubed - 0.10 * (v - 0.45) ** 2
    shade -= np.clip(0.12 - v, 0, 1)
    side = 1.0 if tooth.across[0] > 0 else -1.0
    shade += 0.05 * u * side * light[0] * 4 + 0.014 * medium + 0.006 * fine + 0.015 * coarse
    lobes = 0.018 * np.cos(3.1 * np.pi * u) * _step(0.3, 0.8, v)
    if tooth.form in (_PREMOLAR, _MOLAR):
        lobes = -0.14 * np.exp(-((u / 0.10) ** 2)) * _step(0.45, 0.95, v) * (tooth.form.cusps - 0.6)
    shade += lobes
    # Light of the flash and of the lips' opening falls off towards the back of the mouth.
    shade *= np.clip(1.04 - 0.016 * max(0.0, tooth.depth + 18), 0.45, 1.05)
    colour *= shade[..., None]

    u0, v0 = light[0] * side + rng.normal(0, 0.08), light[1] + rng.normal(0, 0.05)
    glint = np.exp(-(((u - u0) / 0.30) ** 2) - ((v - v0) / 0.22) ** 2) * (0.75 + 0.35 * medium)
    _blend(colour, (1, 1, 1), np.clip(glint, 0, 1) * 0.5 * flash)
    spark = np.exp(-(((u - u0) / 0.16) ** 2) - ((v - v0) / 0.13) ** 2) + 0.25 * medium - 0.1 * lateral
    _blend(colour, (1, 1, 1), _step(0.6, 0.85, spark) * flash * 0.95 * (lateral < 0.9))
    if rng.random() < 0.12:
        spot = 1 - np.hypot((u - rng.uniform(-0.4, 0.4)) / 0.4, (v - rng.uniform(0.3, 0.7)) / 0.18) + 0.4 * medium
        _blend(colour, (0.97, 0.96, 0.94), 0.45 * _step(0.1, 0.7, spot))
    if carious:
        seen = mouth.owners[rows, columns] == index + 1
        _paint_lesions(colour, tooth, u, v, seen, (medium, fine), _stream(seed, 3, index))
    _blend(patch, colour, cover)


def _paint_lesions(
    colour: Floats,
    tooth: _Tooth,
    u: Floats,
    v: Floats,
    seen: npt.NDArray[np.bool_],
    noises: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> None:
    """One to three lesions where the crown is in sight: at the gum, between teeth, on the face, at the edge."""
    medium, fine = noises
    wide, tall = tooth.size[0] / 2, tooth.size[1]
    ruined = rng.random() < 0.2
    # A coarse sample of what is in sight is enough to tell whether a lesion would be seen.
    sparse = seen[::3, ::3]
    if not sparse.any():
        sparse = np.ones_like(sparse)
    sparse_u, sparse_v = u[::3, ::3][sparse], v[::3, ::3][sparse]
    per_mm2 = (np.abs(u) < 1)[(v > 0) & (v < 1)].sum() / 9 / (2 * wide * tall)
    for _ in range(1 if ruined else int(rng.choice([1, 2, 3], p=[0.65, 0.27, 0.08]))):
        for _attempt in range(12):
            kind = rng.choice(["gum", "between", "face", "edge"], p=[0.38, 0.3, 0.18, 0.14])
            side = rng.choice([-1.0, 1.0])
            at_u, at_v, radius_u, radius_v = {
                "gum": (rng.uniform(-0.5, 0.5), rng.uniform(0.06, 0.16), rng.uniform(1.6, 3.4), rng.uniform(0.8, 1.7)),
                "between": (side * 0.85, rng.uniform(0.4, 0.75), rng.uniform(0.9, 1.8), rng.uniform(1.3, 2.6)),
                "face": (rng.uniform(-0.4, 0.4), rng.uniform(0.3, 0.7), rng.uniform(1.0, 2.1), rng.uniform(0.9, 2.0)),
                "edge": (rng.uniform(-0.6, 0.6), rng.uniform(0.88, 1.0), rng.uniform(1.1, 2.2), rng.uniform(0.9, 2.0)),
            }[str(kind)]
            reach = np.hypot((sparse_u - at_u) * wide / radius_u, (sparse_v - at_v) * tall / radius_v)
            if (reach < 0.7).sum() > 0.5 * np.pi * 0.7**2 * radius_u * radius_v * per_mm2:
                break
        else:
            middle = len(sparse_u) // 2
            at_u, at_v = float(np.sort(sparse_u)[middle]), float(np.sort(sparse_v)[middle])
        if ruined:
            radius_u, radius_v = wide * rng.uniform(0.8, 1.2), tall * rng.uniform(0.35, 0.6)
        warp = medium * rng.uniform(0.15, 0.4) + fine * 0.03
        slant = rng.normal(0, 0.4)
        du, dv = (u - at_u) * wide, (v - at_v) * tall
        reach = np.hypot((du + slant * dv) / radius_u, (dv - slant * du) / radius_v)
        inside = 1 - reach**1.3 + warp
        brown = np.array([0.50, rng.uniform(0.30, 0.37), rng.uniform(0.13, 0.24)], np.float32) * rng.uniform(0.55, 1.25)
        dark = np.array([0.17, 0.10, 0.06], np.float32) * rng.uniform(0.3, 1.7)
        halo, rotten = rng.uniform(0.3, 0.85), rng.uniform(0.05, 0.5)
        _blend(colour, colour * np.array([0.86, 0.68, 0.40], np.float32), halo * _step(-1.3, 0.2, inside))
        texture = 0.75 + 0.16 * medium + 0.05 * fine
        _blend(colour, brown * texture[..., None], 0.9 * _step(-0.05, 0.25, inside))
        hole = _step(rotten, rotten + 0.22, inside)
        # A cavity shades its own wall on one side and shows a lit rim on the other.
        rim = _step(rotten - 0.25, rotten, inside) * (1 - hole) * np.clip(dv / radius_v, 0, 1)
        _blend(colour, colour * 1.5, 0.6 * rim)
        _blend(colour, dark * (1 + 0.15 * fine + 0.25 * medium)[..., None], 0.96 * hole)


def _paint_face(canvas: Floats, mouth: _Mouth, rng: np.random.Generator, fields: tuple[Floats, Floats, Floats]) -> None:
    """The lips with their shadow on what they frame, and the skin around them."""
    coarse, medium, fine = fields
    height, width = coarse.shape
    scale = mouth.scale
    outer_u, inner_u, inner_l, outer_l = mouth.lips
    rows = np.arange(height, dtype=np.float32)[:, None]
    within = np.minimum(rows - inner_u, inner_l - rows) / scale
    shadow = (0.4 + 0.6 * _step(-0.5, 4.0, within)) if mouth.smiling else (0.7 + 0.3 * _step(-0.5, 4.0, within))
    x = (np.arange(width, dtype=np.float32) - mouth.centre[0]) / scale
    canvas *= shadow[..., None]
    if mouth.smiling:
        canvas *= (1 - 0.35 * _step(17, 28, np.abs(x)))[None, :, None]

    skin, lip = _pick(rng, _SKINS), _pick(rng, _LIPS)
    y = (rows - mouth.centre[1]) / scale
    wrinkles = _noise(rng, (height, width), (5 * scale, 0.9 * scale), 2)
    pores = 1 + 0.03 * coarse + 0.012 * medium + 0.02 * fine
    bright = 1.06 - 0.2 * _step(20, 50, np.abs(x))[None] - 0.003 * np.abs(y)
    if mouth.smiling:
        # The fold from the nose to beside the mouth, the hollow above the chin, and the nostrils.
        fold = np.abs(x)[None] - rng.uniform(15, 19) - 0.42 * (y + 22) - 0.008 * (y + 22) ** 2
        bright = bright - rng.uniform(0.03, 0.11) * np.exp(-((fold / 3.5) ** 2)) * _step(12, 2, y) * _step(-30, -18, y)
        bright = bright + 0.05 * _step(0, 10, fold) * _step(14, -4, y)
        chin = (inner_l[None] + outer_l.max()) / 2 + 8 * scale
        bright = bright - 0.16 * np.exp(-(((rows - chin) / (4 * scale)) ** 2)) * np.exp(-((x / 16) ** 2))[None]
        bright = bright - 0.07 * np.exp(-((x / 2.2) ** 2))[None] * _step(-8, -14, y)
        nose = (y + rng.uniform(27, 36)) / 2.6 + 0.06 * np.abs(x)[None]
        bright = bright - 0.6 * _step(1.2, 0, ((np.abs(x)[None] - 6.5) / 4.2) ** 2 + nose**2 + 0.05 * medium)
        bright = bright - 0.2 * np.exp(-(((nose - 1) / 1.2) ** 2)) * _step(15, 8, np.abs(x))[None]
        tint = skin
    else:
        tint = lip * 0.5 + skin * 0.5
    face = tint * (pores * bright)[..., None]
    if mouth.smiling:
        oval = np.hypot(x[None] / rng.uniform(42, 70), np.clip(y + 12, 0, None) / rng.uniform(46, 70))
        bright_room = rng.choice([0.95, 0.5, 0.15])
        face *= (1 - 0.3 * _step(0.7, 1.0, oval))[..., None]
        _blend(face, np.full(3, bright_room), _step(0.99, 1.01, oval))

    upper = np.clip((inner_u - rows) / np.maximum(inner_u - outer_u, 1), 0, 2)
    lower = np.clip((rows - inner_l) / np.maximum(outer_l - inner_l, 1), 0, 2)
    band = np.where(rows < (inner_u + inner_l) / 2, upper, lower)
    gloss = rng.uniform(0.1, 0.5)
    volume = 0.78 + 0.28 * np.sin(np.pi * np.clip(band, 0, 1)) + 0.06 * band
    lips = lip * (volume + 0.022 * wrinkles + 0.03 * medium)[..., None]
    thick = np.where(rows < (inner_u + inner_l) / 2, inner_u - outer_u, outer_l - inner_l) / scale
    red = (1 - _step(0.86, 1.16, band + 0.01 * medium)) * _step(0.5, 1.6, thick)
    _blend(face, lips, red)
    shine = np.exp(-(((lower - 0.42) / 0.17) ** 2)) * np.exp(-((x / 14) ** 2)) * _step(-0.6, 1.6, wrinkles + medium)
    _blend(face, (1, 0.93, 0.92), gloss * shine)
    _blend(canvas, face, 1 - _step(0.0, 0.5, within))


def _photograph(canvas: Floats, seed: int) -> npt.NDArray[np.uint8]:
    """What the camera makes of it: flash, white balance, exposure, vignette, blur and noise; uint8, RGB."""
    rng = _stream(seed, 4)
    height, width = canvas.shape[:2]
    warmth = rng.normal(0.0, 0.05)
    gains = np.array([1 + warmth, 1 + rng.normal(0, 0.012), 1 - warmth * 1.3], np.float32)
    gains *= np.float32(rng.uniform(0.92, 1.18))
    x = np.linspace(-1, 1, width, dtype=np.float32) - rng.normal(0, 0.15)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - rng.normal(0, 0.15)
    falloff = 1.04 - rng.uniform(0.08, 0.30) * (x**2 + y**2) / 2
    photo = np.clip(canvas * gains * falloff[..., None].astype(np.float32), 0, None)
    # A shoulder keeps the flash from clipping hard.
    photo = np.where(photo > 0.85, 0.85 + 0.15 * np.tanh((photo - 0.85) / 0.15), photo)
    photo = photo ** np.float32(rng.uniform(0.88, 1.15))
    grey = photo.mean(axis=2, keepdims=True)
    photo = grey + (photo - grey) * rng.uniform(0.85, 1.2)
    photo = ndimage.gaussian_filter(photo, (*[rng.uniform(0.35, 1.1) * width / 640] * 2, 0))
    noise = rng.standard_normal((height, width, 1), np.float32) * 0.7
    noise = noise + rng.standard_normal((height, width, 3), np.float32) * 0.5
    photo = photo + rng.uniform(0.003, 0.014) * noise
    return np.asarray(np.clip(photo, 0, 1) * 255 + 0.5, np.uint8)


def _visible_boxes(mouth: _Mouth) -> tuple[list[int], Floats, list[float]]:
    """Indices of the teeth in sight, their boxes in the photo, and the share of each outline that is in sight."""
    found, boxes, shares = [], [], []
    for index, place in enumerate(ndimage.find_objects(mouth.owners, max_label=len(mouth.teeth))):
        if place is None:
            continue
        rows, columns = place
        x, y = mouth.teeth[index].outline.T
        area = 0.5 * SUPERSAMPLING**2 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))
        share = float((mouth.owners[place] == index + 1).sum()) / max(area, 1.0)
        low = [rows.start // SUPERSAMPLING, columns.start // SUPERSAMPLING]
        box = [*low, -(-rows.stop // SUPERSAMPLING), -(-columns.stop // SUPERSAMPLING)]
        if share >= MIN_VISIBLE and min(box[2] - box[0], box[3] - box[1]) >= MIN_BOX:
            found.append(index)
            boxes.append(box)
            shares.append(share)
    return found, np.array(boxes, np.float32).reshape(-1, 4), shares


def render_mouth(
    seed: int, *, width: int = 640, height: int = 480, caries: int | None = None, view: str | None = None
) -> RenderedMouth:
    """Renders one mouth; the same arguments give the same arrays.

    Args:
        seed: not negative. It decides everything that the other arguments leave open.
        width, height: pixels of the photo.
        caries: how many teeth are carious; None draws it, 0 is a healthy mouth.
        view: one of `VIEWS`; None draws it.

    Raises:
        ValueError: an argument is out of range, or more carious teeth are asked for than are in sight.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}, must not be negative")
    if not (64 <= width <= MAX_SIDE and 64 <= height <= MAX_SIDE):
        raise ValueError(f"photo of {width} x {height} pixels, both must be from 64 to {MAX_SIDE}")
    if view is not None and view not in VIEWS:
        raise ValueError(f"view is {view!r}, must be one of {', '.join(VIEWS)}")
    rng = _stream(seed, 5)
    drawn = str(rng.choice(list(VIEWS), p=VIEW_SHARES))
    mouth = _build(seed, VIEWS[view or drawn], width, height)
    found, boxes, shares = _visible_boxes(mouth)
    if caries is None:
        healthy = rng.random() < 0.3
        caries = 0 if healthy or not found else int(rng.integers(1, max(2, round(len(found) * 0.65)) + 1))
        caries = min(caries, len(found))
    if not 0 <= caries <= len(found):
        raise ValueError(f"caries is {caries}, must be from 0 to {len(found)}, the teeth in sight of seed {seed}")
    # Lesions go to the teeth that show most of themselves first.
    ranks = np.array(shares) + rng.uniform(0, 0.6, len(shares))
    carious = {found[place] for place in np.argsort(-ranks, kind="stable")[:caries]}
    image = _photograph(_paint(mouth, seed, sorted(carious)), seed)
    labels = tuple("caries" if index in carious else "normal" for index in found)
    return RenderedMouth(image, boxes, labels)


def write_via(
    folder: Path, seeds: Iterable[int], *, width: int = 640, height: int = 480, folds: bool = True
) -> list[Path]:
    """Renders a mouth per seed into `img_train/` and `json_train/` of the folder, as `training.annotations` reads it.

    Args:
        folder: made if missing; files of the same names are overwritten.
        seeds: of the mouths, `Folder_0001.jpg` is the first.
        width, height: pixels of the photos.
        folds: whether to write `folds.csv`, in which each mouth is a group of its own.

    Returns:
        The photos' paths.
    """
    photos, labels = folder / "img_train", folder / "json_train"
    photos.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for index, seed in enumerate(seeds):
        mouth = render_mouth(seed, width=width, height=height)
        path = photos / f"Folder_{index + 1:04d}.jpg"
        Image.fromarray(mouth.image).save(path, quality=JPEG_QUALITY)
        regions = [
            {
                "shape_attributes": {"name": "rect", "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0},
                "region_attributes": {"label": label},
            }
            for (y0, x0, y1, x1), label in zip(mouth.boxes.astype(int).tolist(), mouth.labels, strict=True)
        ]
        annotation = {
            "filename": path.name, "size": path.stat().st_size, "regions": regions, "file_attributes": {}
        }  # fmt: skip
        text = json.dumps({"annotation": annotation}, indent=1)
        (labels / f"{path.stem}.json").write_text(text + "\n", encoding="utf-8")
        paths.append(path)
    if folds:
        with (folder / "folds.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["image", "group", "fold"])
            table.writerows([path.name, path.stem, index % FOLDS] for index, path in enumerate(paths))
    return paths


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m training.render --out DIR --count N --seed S`."""
    parser = argparse.ArgumentParser(prog="python -m training.render", description="Renders mouth photos with labels.")
    parser.add_argument("--out", type=Path, required=True, help="folder; made if missing")
    parser.add_argument("--count", type=int, default=10, help="photos (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first photo, the next ones follow (default 0)")
    parser.add_argument("--width", type=int, default=640, help="pixels (default 640)")
    parser.add_argument("--height", type=int, default=480, help="pixels (default 480)")
    arguments = parser.parse_args(argv)
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    write_via(arguments.out, seeds, width=arguments.width, height=arguments.height)
    return 0


if __name__ == "__main__":
    sys.exit(main())
