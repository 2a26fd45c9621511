"""The geometry of a rendered mouth: teeth along two arches in millimetres, a camera, gums, lips and boxes.

Crown widths and heights are the textbook means (Wheeler's Dental Anatomy).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

Floats = npt.NDArray[np.float32]
Range = tuple[float, float]

SUPERSAMPLING = 2
"""Subpixels per pixel along each axis, for the hard edges of the crowns."""

MIN_VISIBLE = 0.25
"""Visible share of a crown from which its tooth gets a box."""

MIN_BOX = 6
"""Smallest side of a box in pixels."""

MIN_TURN = 0.34
"""A crown of which less than this share of the width faces the camera is behind the cheek."""

PIVOT = 20.0
"""mm behind the front teeth: the centre of the head's rotation."""


@dataclass(frozen=True)
class View:
    """Framing of a mouth; ranges, in mm unless stated otherwise, are drawn from uniformly.

    Attributes:
        span: width of the photo.
        gap: between the incisal edges of the jaws; negative if the upper teeth overlap the lower ones.
        top, bottom: visible gum beyond the necks of the upper and of the lower front teeth.
        half_width: from the midline to the corner of the lips.
        corner: height of that corner, 0 at the top of the opening, 1 at its bottom.
        roundness: exponent of the opening's outline; 2 is an ellipse, more is boxier.
        focus: centre of the photo: `opening`, `upper`, `lower` or `bite`, where the jaws meet.
        aside: largest distance of that centre from the midline.
        yaw: largest rotation of the head in radians.
        jaws: visible teeth: `l`, `u` or `lu`; the upper ones bite in front of the lower ones.
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
class Form:
    """A crown's outline: neck width over largest width, heights of the rounded neck and corners, edge sharpness."""

    neck: float
    cap: float
    mesial: float
    distal: float
    sharpness: float
    cusps: int


CENTRAL = Form(0.82, 0.20, 0.09, 0.18, 2.7, 1)
LATERAL = Form(0.80, 0.20, 0.12, 0.24, 2.4, 1)
CANINE = Form(0.82, 0.20, 0.24, 0.32, 1.75, 1)
PREMOLAR = Form(0.84, 0.18, 0.20, 0.24, 2.0, 1)
MOLAR = Form(0.92, 0.17, 0.15, 0.18, 2.6, 2)
LOWER_INCISOR = Form(0.74, 0.18, 0.07, 0.10, 3.0, 1)

CROWNS = {
    "u": (
        (CENTRAL, 8.6, 10.4), (LATERAL, 6.7, 9.0), (CANINE, 7.6, 9.8), (PREMOLAR, 7.0, 8.4),
        (PREMOLAR, 6.8, 7.8), (MOLAR, 10.2, 7.2), (MOLAR, 9.6, 6.8),
    ),
    "l": (
        (LOWER_INCISOR, 5.3, 8.6), (LOWER_INCISOR, 5.9, 8.8), (CANINE, 6.9, 9.8), (PREMOLAR, 7.0, 8.4),
        (PREMOLAR, 7.1, 7.9), (MOLAR, 11.0, 7.3), (MOLAR, 10.4, 7.0),
    ),
}  # fmt: skip
"""Form, width and height in mm of the crowns of one side, from the midline backwards."""

ARCHES = {"u": (29.5, 44.0, 0.0), "l": (27.0, 40.0, 2.2)}
"""Half width and depth of each arch's ellipse, and its distance behind the upper front teeth, in mm."""


@dataclass(frozen=True)
class Tooth:
    """A crown, in pixels: `origin + u * across + v * along`; u from -1 mesial to 1 distal, v from 0 neck to 1 edge."""

    jaw: str
    form: Form
    size: tuple[float, float]
    origin: Floats
    across: Floats
    along: Floats
    depth: float
    outline: Floats


@dataclass(frozen=True)
class Mouth:
    """A mouth in pixels of the photo.

    Attributes:
        scale: pixels per mm.
        teeth: by jaw, the lower one first; within a jaw from far to near.
        margins: per jaw, x and y of the tips of the papillae, float32 `[n, 2]`, by x.
        lips: y per column, float32 `[width]`: outer and inner edge of the upper lip, inner and outer edge of the lower
            one. The mouth is closed where the inner edges cross.
        owners: 1 + index of the visible tooth, 0 for none, int16 `[height, width]` in subpixels.
        gap: mm between the jaws.
        centre: x and y of the point midway between the edges of the front teeth.
        smiling: whether lips and skin, not a retracted cheek, frame the teeth.
    """

    scale: float
    teeth: list[Tooth]
    margins: dict[str, Floats]
    lips: tuple[Floats, Floats, Floats, Floats]
    owners: npt.NDArray[np.int16]
    gap: float
    centre: tuple[float, float]
    smiling: bool


def stream(seed: int, *which: int) -> np.random.Generator:
    """A separate generator per purpose, so that lesions do not change the noise."""
    return np.random.default_rng((seed, *which))


def crown_profile(form: Form, v: Floats, corner: float) -> Floats:
    """Half width at height v, 1 at the widest."""
    body = form.neck + (1 - form.neck) * np.sin(np.clip(v / 0.75, 0, 1) * np.pi / 2)
    body = body * (1 - 0.05 * np.clip((v - 0.75) / 0.25, 0, 1))
    neck = np.sqrt(np.clip(1 - (1 - np.clip(v / form.cap, 0, 1)) ** 2, 0, 1))
    t = np.clip((v - 1 + corner) / corner, 0, 1)
    edge = np.clip(1 - t**form.sharpness, 0, 1) ** (1 / form.sharpness)
    return np.asarray(body * neck * edge, np.float32)


def crown_outline(form: Form) -> Floats:
    """(u, v) around the crown, float32 `[n, 2]`."""
    v = (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 40))).astype(np.float32)
    distal = np.stack([crown_profile(form, v, form.distal), v], axis=1)
    mesial = np.stack([-crown_profile(form, v, form.mesial), v], axis=1)
    around = np.concatenate([distal, mesial[::-1]])
    if form.cusps > 1:
        around[:, 1] -= 0.07 * np.exp(-((around[:, 0] / 0.22) ** 2)) * (around[:, 1] > 0.5)
    return around


@dataclass(frozen=True)
class Camera:
    """A head rotated by yaw, pitch and roll (radians), `distance` mm from the lens.

    Points are in mm: x to the right, y down from the bite, z from the front teeth to the throat. `scale` is pixels per
    mm, `aim` the projected point at the centre of the photo.
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
        """x and y in pixels, float32 `[2]`, and the depth in mm."""
        across, down, depth = self.project(x, y, z)
        return np.array([self.column(across), self.row(down)], np.float32), depth

    def column(self, across: float) -> float:
        """Pixels from the left of a projected x."""
        return (across - self.aim[0]) * self.scale + self.size[0] / 2

    def row(self, down: float) -> float:
        """Pixels from the top of a projected y."""
        return (down - self.aim[1]) * self.scale + self.size[1] / 2


def build_mouth(seed: int, view: View, width: int, height: int) -> Mouth:
    """Place teeth, gums and lips in a photo of `width` x `height` pixels."""
    rng = stream(seed, 0)
    gap = rng.uniform(*view.gap)
    size = rng.uniform(0.92, 1.08)
    top = -gap / 2 - 10.2 * size - rng.uniform(*view.top)
    bottom = gap / 2 + 8.7 * size + rng.uniform(*view.bottom)
    focus = {"opening": (top + bottom) / 2, "upper": -gap / 2 - 5, "lower": gap / 2 + 5, "bite": rng.uniform(-5, 2)}
    aside = rng.uniform(-view.aside, view.aside)
    camera = Camera(
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

    teeth: list[Tooth] = []
    margins: dict[str, Floats] = {}
    crooked, spaced = min(1.6, rng.gamma(1.2, 0.5)), max(0.0, rng.normal(-0.1, 0.35))
    for jaw in view.jaws:
        found, margins[jaw] = _place_teeth(rng, camera, jaw, gap, size, crooked, spaced)
        teeth += sorted(found, key=lambda tooth: -tooth.depth)

    lips = _place_lips(rng, camera, view, top, bottom)
    owners = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.int16)
    for index, tooth in enumerate(teeth):
        mask, rows, columns = crown_mask(tooth, owners.shape)
        owners[rows, columns][mask > 0] = index + 1
    ys = (np.arange(len(owners), dtype=np.float32)[:, None] + 0.5) / SUPERSAMPLING
    owners[(ys < np.repeat(lips[1], SUPERSAMPLING)) | (ys > np.repeat(lips[2], SUPERSAMPLING))] = 0
    centre = camera.column(0), camera.row(0)
    return Mouth(camera.scale, teeth, margins, lips, owners, gap, centre, smiling=view.span[1] > 70)


def _place_teeth(
    rng: np.random.Generator, camera: Camera, jaw: str, gap: float, size: float, crooked: float, spaced: float
) -> tuple[list[Tooth], Floats]:
    """The crowns of a jaw that face the camera, and `Mouth.margins`."""
    half, deep, behind = ARCHES[jaw]
    angles = np.linspace(0, np.pi / 2, 200)
    arc = np.concatenate([[0], np.cumsum(np.hypot(np.diff(half * np.sin(angles)), np.diff(deep * np.cos(angles))))])
    up = -1.0 if jaw == "u" else 1.0
    tips: list[Floats] = []
    teeth: list[Tooth] = []
    for side in (-1.0, 1.0):
        at = 0.0
        for form, mean_width, mean_height in CROWNS[jaw]:
            wide, tall = mean_width * size * rng.uniform(0.96, 1.04), mean_height * size * rng.uniform(0.93, 1.07)
            space = spaced * rng.uniform(0, 1.4)
            ends = np.interp([at + space / 2, at + space / 2 + wide], arc, angles)
            at += wide + space
            forward, longer = rng.normal(0, 0.35 * crooked, 2)
            lean, twist = rng.normal(0, 0.05 * crooked) * tall, 1.05 + rng.normal(0, 0.04 * crooked)
            xs = side * half * np.sin(ends) * size
            zs = deep * (1 - np.cos(ends)) * size + behind + forward
            # The back teeth of an open jaw are closer together than the front teeth.
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
            around = crown_outline(form)
            outline = origin + around[:, :1] * across + around[:, 1:] * along
            teeth.append(Tooth(jaw, form, (wide, tall), origin, across, along, depth, outline))
            papilla = np.asarray((0.46 - 0.14 * min(1.0, space)) * along, np.float32)
            tips += [mesial + papilla, distal + papilla]
    return teeth, np.array(sorted(map(tuple, tips)), np.float32).reshape(-1, 2)


def _place_lips(
    rng: np.random.Generator, camera: Camera, view: View, top: float, bottom: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """`Mouth.lips` of an opening from `top` to `bottom`, in mm."""
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


def crown_mask(tooth: Tooth, shape: tuple[int, ...], pad: int = 0) -> tuple[npt.NDArray[np.uint8], slice, slice]:
    """The crown as 0 or 255, in subpixels of a picture of this shape, and the rows and columns of that part."""
    outline = tooth.outline * SUPERSAMPLING
    low = np.floor(outline.min(axis=0)).astype(int) - pad
    high = np.ceil(outline.max(axis=0)).astype(int) + 1 + pad
    left, top = np.clip(low, 0, shape[1::-1])
    right, bottom = np.clip(high, 0, shape[1::-1])
    picture = Image.new("L", (max(0, int(right - left)), max(0, int(bottom - top))))
    if picture.width and picture.height:
        ImageDraw.Draw(picture).polygon([(float(x - left), float(y - top)) for x, y in outline], fill=255)
    return np.asarray(picture), slice(int(top), int(bottom)), slice(int(left), int(right))


def visible_boxes(mouth: Mouth) -> tuple[list[int], Floats, list[float]]:
    """Indices of the visible teeth, their boxes in pixels, and the visible share of each crown."""
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
