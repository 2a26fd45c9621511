"""The annotated picture: a photo with its boxes and labels, and a legend below.

The photo is the top left `[:height, :width]` of the result, unscaled; only boxes and labels cover parts of it. Sizes
follow the width of the photo, with lower bounds.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import pylopdf_fonts_ko
from PIL import Image, ImageDraw, ImageFont

from app.detector.detections import Detections
from app.photo.pixels import Pixels
from app.photo.quality import Reason
from app.screening import Screening, Verdict

Lang = Literal["en", "ko"]
Colour = tuple[int, int, int]
Rect = tuple[int, int, int, int]
"""Pixels `(ymin, xmin, ymax, xmax)`, the maximum exclusive."""

MIN_WIDTH = 240
"""Pixels. A narrower photo gets an empty margin at its right, so that the legend stays legible."""

MIN_TEXT = 12
"""Pixels. In smaller text, Hangul syllables run together."""

TEXT_PER_WIDTH = 1 / 56
"""Text size as a fraction of the photo's width, or of 4/3 of its height if that is less."""

TEXTS: dict[Lang, dict[str, str]] = {
    "en": {
        Verdict.CARIES_SUSPECTED: "Caries suspected",
        Verdict.NO_CARIES_FOUND: "No caries found",
        Verdict.NOT_ASSESSABLE: "Not assessable",
        Reason.NO_TEETH_SEEN: "no teeth seen",
        Reason.TOO_FEW_TEETH: "too few teeth seen",
        Reason.NO_TISSUE_SEEN: "no gum, lip or skin seen",
        Reason.TOO_SMALL: "photo too small",
        Reason.TOO_DARK: "photo too dark",
        Reason.TOO_BRIGHT: "photo too bright",
        Reason.BLURRED: "photo blurred",
        "shown": "Boxes shown: {count}",
        "hidden": "+{count} hidden by max boxes",
        "disclaimer": "Not a medical device",
    },
    "ko": {
        Verdict.CARIES_SUSPECTED: "충치 의심",
        Verdict.NO_CARIES_FOUND: "충치 소견 없음",
        Verdict.NOT_ASSESSABLE: "판정 불가",
        Reason.NO_TEETH_SEEN: "치아가 보이지 않음",
        Reason.TOO_FEW_TEETH: "보이는 치아가 너무 적음",
        Reason.NO_TISSUE_SEEN: "잇몸, 입술, 피부가 보이지 않음",
        Reason.TOO_SMALL: "사진이 너무 작음",
        Reason.TOO_DARK: "사진이 너무 어두움",
        Reason.TOO_BRIGHT: "사진이 너무 밝음",
        Reason.BLURRED: "사진이 흐림",
        "shown": "표시된 상자 {count}개",
        "hidden": "+{count}개는 최대 상자 수로 숨김",
        "disclaimer": "의료기기가 아님",
        "class:caries": "충치 의심",
        "class:normal": "정상",
    },
}
"""Every string that is drawn. `class:<name>` translates a class of the label map; others are drawn as they are."""

# Okabe and Ito's colour-blind-safe palette, lightened for use on a dark band and on gums. Screened and other classes
# also differ by line width and by the words of their labels.
SCREENED_SCALE: tuple[Colour, Colour, Colour] = ((255, 190, 40), (255, 130, 20), (240, 50, 30))
"""Colours of the screened class at scores 0, 0.5 and 1."""
OTHER_COLOURS: tuple[Colour, ...] = ((0, 200, 150), (86, 180, 233), (204, 121, 167))
"""Colours of the other classes, in the order of their ids."""
VERDICT_COLOURS = {
    Verdict.CARIES_SUSPECTED: (225, 60, 25),
    Verdict.NO_CARIES_FOUND: (0, 130, 100),
    Verdict.NOT_ASSESSABLE: (95, 105, 118),
}
INK: Colour = (16, 20, 26)
BAND: Colour = (24, 29, 36)
WHITE: Colour = (255, 255, 255)
FAINT: Colour = (176, 186, 198)


def annotate(
    pixels: Pixels,
    screening: Screening,
    *,
    class_names: Mapping[int, str],
    screened_class_id: int,
    model: str,
    lang: Lang = "en",
) -> Pixels:
    """A copy of the photo with boxes, labels and, below, a legend: uint8 `[height + legend, max(width, MIN_WIDTH), 3]`.

    Boxes of the screened class are thick, orange to red by score, and above all others. `model` is the name and version
    for the legend.
    """
    height, width, _ = pixels.shape
    text = max(MIN_TEXT, round(min(width, height * 4 / 3) * TEXT_PER_WIDTH))
    marks = build_marks(screening.shown, width, height, class_names, screened_class_id, lang)
    legend = _legend(marks, screening, max(width, MIN_WIDTH), text, model, lang)
    canvas = np.empty((height + legend.shape[0], legend.shape[1], 3), np.uint8)
    canvas[height:] = legend
    canvas[:height, width:] = BAND
    photo = canvas[:height, :width]
    photo[:] = pixels
    for mark in reversed(marks):
        _draw_box(photo, mark, text)
    draw_labels(photo, marks, text)
    return canvas


@dataclass(frozen=True, slots=True)
class Mark:
    """One box to draw; `screened` marks the screened class."""

    rect: Rect
    name: str
    score: float
    colour: Colour
    screened: bool


def build_marks(
    boxes: Detections, width: int, height: int, class_names: Mapping[int, str], screened_class_id: int, lang: Lang
) -> list[Mark]:
    """What to draw, most important first: the screened class, then the others, each by score."""
    others = sorted({*class_names, *boxes.class_ids.tolist()} - {screened_class_id})
    marks = []
    for box, (_, score, class_id) in zip(boxes.in_pixels(width, height), boxes, strict=True):
        ymin, xmin = (int(v) for v in np.floor(box[:2]))
        ymax, xmax = (int(v) for v in np.ceil(box[2:]))
        screened = class_id == screened_class_id
        name = class_names.get(class_id, f"class {class_id}")
        colour = scale_colour(score) if screened else OTHER_COLOURS[others.index(class_id) % len(OTHER_COLOURS)]
        name = TEXTS[lang].get(f"class:{name}", name)
        marks.append(Mark((ymin, xmin, ymax, xmax), name, score, colour, screened))
    return sorted(marks, key=lambda mark: not mark.screened)


def scale_colour(score: float) -> Colour:
    """The screened class's colour at a score of 0 to 1."""
    low, middle, high = (np.array(colour, np.float64) for colour in SCREENED_SCALE)
    mixed = low + (middle - low) * score * 2 if score < 0.5 else middle + (high - middle) * (score * 2 - 1)
    red, green, blue = (int(v) for v in mixed.round())
    return red, green, blue


def _draw_box(photo: Pixels, mark: Mark, text: int) -> None:
    """A coloured frame between two thin dark ones, visible on white teeth and on red gums."""
    line = max(2, round(text / (5 if mark.screened else 10)))
    edge = max(1, round(line / 3))
    ymin, xmin, ymax, xmax = mark.rect
    for inset, thickness, colour in ((-edge, line + 2 * edge, INK), (0, line, mark.colour)):
        _frame(photo, (ymin + inset, xmin + inset, ymax - inset, xmax - inset), thickness, colour)


def _frame(photo: Pixels, rect: Rect, thickness: int, colour: Colour) -> None:
    colours = photo.view("V3")[..., 0]  # assigned as one item of three bytes, several times as fast as byte by byte
    value = np.array(colour, np.uint8).view("V3")
    ymin, xmin, ymax, xmax = (max(0, v) for v in rect)
    top, left = min(ymin + thickness, ymax), min(xmin + thickness, xmax)
    bottom, right = max(ymax - thickness, ymin), max(xmax - thickness, xmin)
    for side in (
        np.s_[ymin:top, xmin:xmax],
        np.s_[bottom:ymax, xmin:xmax],
        np.s_[ymin:ymax, xmin:left],
        np.s_[ymin:ymax, right:xmax],
    ):
        colours[side] = value


def draw_labels(photo: Pixels, marks: Sequence[Mark], text: int) -> None:
    """Draw a label for each box, inside the photo, where it covers least of other labels and of the screened boxes.

    A box of another class that is narrower than its label shows only the score; the legend explains the colours.
    """
    taken: list[Rect] = []
    guarded = [mark.rect for mark in marks if mark.screened]
    for mark in marks:
        size = text if mark.screened else max(MIN_TEXT - 1, round(text * 0.8))
        label = _label(f"{mark.name} {mark.score:.2f}", size, mark.colour)
        if not mark.screened and label.shape[1] > mark.rect[3] - mark.rect[1]:
            label = _label(f"{mark.score:.2f}", size, mark.colour)
        places = _places(mark.rect, label.shape[:2], photo.shape[:2])
        costs = [
            sum(_overlap(place, other) for other in taken) * 4
            + sum(_overlap(place, other) for other in guarded if other != mark.rect)
            + rank * 0.02 * label.shape[0] * label.shape[1]
            for rank, place in enumerate(places)
        ]
        ymin, xmin, ymax, xmax = places[int(np.argmin(costs))]
        photo[ymin:ymax, xmin:xmax] = label[: ymax - ymin, : xmax - xmin]
        taken.append((ymin, xmin, ymax, xmax))


def _places(box: Rect, size: tuple[int, ...], photo: tuple[int, ...]) -> list[Rect]:
    """Where a label of `size` (height, width) fits: best first, all inside the photo, clipped if it is larger."""
    ymin, xmin, ymax, xmax = box
    height, width = size
    middle = (xmin + xmax - width) // 2
    corners = [
        *((ymin - height, x) for x in (xmin, xmax - width, middle)),
        *((ymax, x) for x in (xmin, xmax - width, middle)),
        *((ymin, x) for x in (xmax, xmin - width)),
        *((ymax - height, x) for x in (xmax, xmin - width)),
        (ymin, xmin),
        (ymax - height, xmin),
    ]
    places = []
    for y, x in corners:
        top, left = max(0, min(y, photo[0] - height)), max(0, min(x, photo[1] - width))
        places.append((top, left, min(top + height, photo[0]), min(left + width, photo[1])))
    return places


def _overlap(a: Rect, b: Rect) -> int:
    """Area common to two rectangles, pixels."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _label(words: str, size: int, colour: Colour) -> Pixels:
    """Words on the box's colour, uint8 `[height, width, 3]`."""
    font = load_font(size)
    pad, edge = max(2, size // 4), max(1, size // 16)
    width, height = _width(words, size) + 2 * pad, round(size * 1.35)
    image = Image.new("RGB", (width, height), INK)
    draw = ImageDraw.Draw(image)
    draw.rectangle((edge, edge, width - 1 - edge, height - 1 - edge), colour)
    ink = INK if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 120 else WHITE
    draw.text((pad, height / 2), words, ink, font, anchor="lm")
    return np.asarray(image)


@lru_cache(maxsize=64)
def _loaded_font(size: int, thread: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(pylopdf_fonts_ko.sans_path(), size, layout_engine=ImageFont.Layout.BASIC)


def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Noto Sans KR, which has Latin and Hangul. One object per thread: FreeType faces are not thread-safe."""
    return _loaded_font(size, threading.get_ident())


@lru_cache(maxsize=1024)
def _width(words: str, size: int) -> int:
    """Width of a line of text, pixels; cached, since measuring takes nearly as long as drawing."""
    return round(load_font(size).getlength(words))


@dataclass(frozen=True, slots=True)
class _Item:
    """Words of the legend, with the colour chips in front of them."""

    words: str
    size: int
    colour: Colour
    chips: tuple[Colour, ...] = ()
    background: Colour | None = None


def _legend(marks: Sequence[Mark], screening: Screening, width: int, text: int, model: str, lang: Lang) -> Pixels:
    """The band below the photo, uint8 `[rows, width, 3]`: verdict, counts with a key of colours, model, disclaimer."""
    words = TEXTS[lang]
    verdict, hidden = screening.verdict, screening.hidden_by_max_boxes
    first = [_Item(words[verdict], round(text * 1.25), WHITE, background=VERDICT_COLOURS[verdict])]
    first += [_Item(words[reason], text, WHITE) for reason in screening.reasons]
    first.append(_Item(words["shown"].format(count=len(marks)), text, WHITE))
    for name in dict.fromkeys(mark.name for mark in marks):
        same = [mark for mark in marks if mark.name == name]
        chips = SCREENED_SCALE if same[0].screened else (same[0].colour,)
        first.append(_Item(f"{name} {len(same)}", text, WHITE, chips))
    if hidden > 0:
        first.append(_Item(words["hidden"].format(count=hidden), text, SCREENED_SCALE[0]))
    second = [_Item(words["disclaimer"], text, WHITE), _Item(model, text, FAINT)]
    return _flow((first, second), width, text)


def _flow(paragraphs: Sequence[Sequence[_Item]], width: int, text: int) -> Pixels:
    """Lay items out in rows; an item wider than a row is broken."""
    margin, gap, row_height = round(text * 0.7), round(text * 1.2), round(text * 1.9)
    room = width - 2 * margin
    placed: list[tuple[int, int, _Item]] = []
    row = -1
    for paragraph in paragraphs:
        x, row = 0, row + 1
        for item in (part for entire in paragraph for part in _broken(entire, room)):
            wide = _item_width(item)
            if x and x + wide > room:
                x, row = 0, row + 1
            placed.append((x, row, item))
            x += wide + gap
    image = Image.new("RGB", (width, (row + 1) * row_height + margin), BAND)
    draw = ImageDraw.Draw(image)
    for x, line, item in placed:
        _draw_item(draw, margin + x, round(margin / 2 + (line + 0.5) * row_height), item)
    return np.asarray(image)


def _item_width(item: _Item) -> int:
    wide = _width(item.words, item.size) + round(item.size * 0.6) * len(item.chips)
    wide += round(item.size * 0.4) if item.chips else 0
    return wide + (round(item.size * 0.5) * 2 if item.background else 0)


def _broken(item: _Item, room: int) -> list[_Item]:
    """The item in parts that fit `room` pixels, broken after a space or hyphen if there is one."""
    if _item_width(item) <= room or len(item.words) < 2:
        return [item]
    fitting = 1
    while fitting < len(item.words) and _item_width(replace(item, words=item.words[: fitting + 1])) <= room:
        fitting += 1
    soft = max(item.words.rfind(mark, 0, fitting) for mark in " -") + 1
    cut = soft or fitting
    rest = replace(item, words=item.words[cut:].lstrip(), chips=())
    return [replace(item, words=item.words[:cut].rstrip()), *(_broken(rest, room) if rest.words else [])]


def _draw_item(draw: ImageDraw.ImageDraw, x: int, y: int, item: _Item) -> None:
    """The item with its left edge at `x` and its middle at `y`."""
    if item.background:
        half = round(item.size * 0.68)
        box = (x, y - half, x + _item_width(item), y + half)
        draw.rounded_rectangle(box, radius=max(2, item.size // 4), fill=item.background)
        x += round(item.size * 0.5)
    chip = round(item.size * 0.6)
    for colour in item.chips:
        draw.rectangle((x, y - chip // 2, x + chip - 1, y + chip - chip // 2), colour)
        x += chip
    x += round(item.size * 0.4) if item.chips else 0
    draw.text((x, y), item.words, item.colour, load_font(item.size), anchor="lm")
