"""The colours of a rendered mouth: throat, tongue, gums, enamel, lesions, lips and skin."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from training.render.geometry import (
    CANINE,
    MOLAR,
    PREMOLAR,
    SUPERSAMPLING,
    Floats,
    Mouth,
    Range,
    Tooth,
    crown_mask,
    crown_profile,
    stream,
)

Values = npt.NDArray[np.floating]
Fields = tuple[Floats, Floats, Floats]
"""Coarse, medium and fine noise, `[height, width]`."""


def _step(low: float, high: float, value: Values) -> Floats:
    """Smooth step from 0 at low to 1 at high."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _blend(canvas: Floats, colour: npt.ArrayLike, weight: Values) -> None:
    """Mix a colour, `[3]` or `[h, w, 3]`, into the canvas in place."""
    canvas += (np.asarray(colour, np.float32) - canvas) * weight.astype(np.float32, copy=False)[..., None]


def _noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float], octaves: int = 3) -> Floats:
    """Smooth noise of about unit deviation; `cell` is the size of its coarsest blobs in pixels, down and across."""
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
    """A colour between two neighbours in the palette."""
    at = rng.uniform(0, len(palette) - 1)
    index = int(at)
    following = palette[min(index + 1, len(palette) - 1)]
    return np.asarray(palette[index] + (following - palette[index]) * (at - index), np.float32)


def paint(mouth: Mouth, seed: int, carious: Sequence[int]) -> Floats:
    """The mouth with lesions on the teeth of these indices: float32 `[height, width, 3]`, 0 to 1."""
    height, width = (side // SUPERSAMPLING for side in mouth.owners.shape)
    rng = stream(seed, 1)
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
    canvas: Floats, mouth: Mouth, rng: np.random.Generator, x: Values, y: Values, medium: Floats, fine: Floats
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
    canvas: Floats, mouth: Mouth, jaw: str, colour: Floats, flash: float, rng: np.random.Generator, fields: Fields
) -> None:
    """A jaw's gum from the papillae to the fold of the cheek, with bulges over the roots, veins and wet spots."""
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
    # Beyond the last tooth the gum merges into the cheek.
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
    canvas: Floats, mouth: Mouth, index: int, enamel: Floats, flash: float, light: Range, seed: int, carious: bool,
    fields: Fields,
) -> None:  # fmt: skip
    """A crown with its contact shadow and, if carious, lesions."""
    tooth = mouth.teeth[index]
    rng = stream(seed, 2, index)
    scale = mouth.scale * SUPERSAMPLING
    mask, rows, columns = crown_mask(tooth, mouth.owners.shape, pad=int(1.2 * scale))
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
        np.maximum(crown_profile(tooth.form, heights, corner), 0.35)[nearest]
        for corner in (tooth.form.distal, tooth.form.mesial)
    )
    half = np.where(u > 0, distal, mesial)
    lateral = np.clip(np.abs(u) / half, 0, 1.2)
    coarse, medium, fine = (field[rows, columns] for field in fields)

    base = enamel * (1 + rng.normal(0, 0.022)) + rng.normal(0, 0.005, 3).astype(np.float32)
    if tooth.form is CANINE:
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
    if tooth.form in (PREMOLAR, MOLAR):
        lobes = -0.14 * np.exp(-((u / 0.10) ** 2)) * _step(0.45, 0.95, v) * (tooth.form.cusps - 0.6)
    shade += lobes
    # Light falls off towards the back of the mouth.
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
        visible = mouth.owners[rows, columns] == index + 1
        _paint_lesions(colour, tooth, u, v, visible, (medium, fine), stream(seed, 3, index))
    _blend(patch, colour, cover)


def _paint_lesions(
    colour: Floats, tooth: Tooth, u: Floats, v: Floats, visible: npt.NDArray[np.bool_], noises: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """One to three lesions on the visible crown: at the gum, between teeth, on the face or at the edge."""
    medium, fine = noises
    wide, tall = tooth.size[0] / 2, tooth.size[1]
    ruined = rng.random() < 0.2
    # A coarse sample of the visible part decides whether a lesion would be visible.
    sparse = visible[::3, ::3]
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
        # A cavity shades one wall and lights the rim opposite.
        rim = _step(rotten - 0.25, rotten, inside) * (1 - hole) * np.clip(dv / radius_v, 0, 1)
        _blend(colour, colour * 1.5, 0.6 * rim)
        _blend(colour, dark * (1 + 0.15 * fine + 0.25 * medium)[..., None], 0.96 * hole)


def _paint_face(canvas: Floats, mouth: Mouth, rng: np.random.Generator, fields: Fields) -> None:
    """The lips, their shadow and the skin around them."""
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
        # The nasolabial fold, the hollow above the chin, and the nostrils.
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
