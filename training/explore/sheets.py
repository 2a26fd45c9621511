"""Pictures of labelled photos and teeth, alone and side by side."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from app.drawing import INK, OTHER_COLOURS, SCREENED_SCALE
from app.photo.decoding import decode
from training.data.annotations import CLASS_IDS, AnnotatedPhoto

COLOURS = {CLASS_IDS["normal"]: OTHER_COLOURS[0], CLASS_IDS["caries"]: SCREENED_SCALE[1]}

SHEET_WIDTH = 1200
GAP = 4
TITLE_HEIGHT = 18

SURROUNDINGS = 0.25
"""Margin around a tooth on each side, as a share of its height and width."""

NEIGHBOURHOOD = 1.5
"""The same, to show its neighbours."""

TOOTH_HEIGHT = 140
"""Pixels of a tooth's picture."""


def contact_sheet(
    pictures: Sequence[Image.Image], *, columns: int, max_height: float = 0.75, titles: Sequence[str] = ()
) -> Image.Image:
    """Pictures side by side on white, each fitted to its cell and above its title, if any; a row is as high as its
    highest picture."""
    width = SHEET_WIDTH // columns
    box = (width - GAP, int(width * max_height))
    fitted = [ImageOps.contain(picture, box) for picture in pictures]
    rows = [fitted[first : first + columns] for first in range(0, len(fitted), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    below = GAP + (TITLE_HEIGHT if titles else 0)
    sheet = Image.new("RGB", (width * columns, sum(heights) + below * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    top = 0
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for column, picture in enumerate(row):
            left = column * width
            sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
            if titles:
                draw.text((left + width / 2, top + height), titles[number * columns + column], "black", font, "ma")
        top += height + below
    return sheet


def labelled_photo(photo: AnnotatedPhoto, *, max_side: int = 800, numbered: bool = False) -> Image.Image:
    """The photo, fitted to `max_side` pixels, with its boxes: thick and C for caries, thin and N for normal teeth, or
    with numbers from 1 and the names of the classes."""
    picture = Image.fromarray(decode(photo.path.read_bytes()).pixels)
    picture = ImageOps.contain(picture, (max_side, max_side))
    draw = ImageDraw.Draw(picture)
    text = max(12, max(picture.size) // 60)
    font = ImageFont.load_default(text)
    names = {class_id: name for name, class_id in CLASS_IDS.items()}
    order = sorted(range(len(photo.boxes)), key=lambda row: int(photo.class_ids[row]) == CLASS_IDS["caries"])
    for row in order:
        class_id = int(photo.class_ids[row])
        ymin, xmin, ymax, xmax = (float(edge) for edge in photo.boxes[row])
        left, top = xmin * (picture.width - 1), ymin * (picture.height - 1)
        right, bottom = xmax * (picture.width - 1), ymax * (picture.height - 1)
        line = max(1, text // (4 if class_id == CLASS_IDS["caries"] else 8))
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=INK, width=line + 2)
        draw.rectangle((left, top, right, bottom), outline=COLOURS[class_id], width=line)
        words = f"{row + 1} {names[class_id]}" if numbered else names[class_id][0].upper()
        place = (left + line + 1, top + line + 1)
        draw.rectangle(draw.textbbox(place, words, font), fill=INK)
        draw.text(place, words, COLOURS[class_id], font)
    return picture


def tooth_crops(photos: Sequence[AnnotatedPhoto], class_name: str, count: int, *, seed: int = 0) -> list[Image.Image]:
    """Random teeth of one class, with `SURROUNDINGS` within the photo."""
    places = [(photo, int(row)) for photo in photos for row in np.flatnonzero(photo.class_ids == CLASS_IDS[class_name])]
    chosen = np.random.default_rng(seed).permutation(len(places))[:count]
    return [_tooth(*places[int(position)], SURROUNDINGS)[0] for position in chosen]


def tooth_in_place(photo: AnnotatedPhoto, row: int) -> Image.Image:
    """One labelled tooth (`row` of the boxes), framed, with its neighbours."""
    crop, frame = _tooth(photo, row, NEIGHBOURHOOD)
    draw = ImageDraw.Draw(crop)
    for edge, colour in enumerate((INK, COLOURS[int(photo.class_ids[row])])):
        left, top, right, bottom = frame
        draw.rectangle((left - 1 + edge, top - 1 + edge, right + 1 - edge, bottom + 1 - edge), outline=colour)
    return crop


def _tooth(
    photo: AnnotatedPhoto, row: int, surroundings: float
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """A tooth with its surroundings, `TOOTH_HEIGHT` pixels high, and its box there: left, top, right, bottom."""
    ymin, xmin, ymax, xmax = (float(edge) for edge in photo.boxes[row])
    vertical, horizontal = (ymax - ymin) * surroundings, (xmax - xmin) * surroundings
    left, right = round(max(0, xmin - horizontal) * photo.width), round(min(1, xmax + horizontal) * photo.width)
    top, bottom = round(max(0, ymin - vertical) * photo.height), round(min(1, ymax + vertical) * photo.height)
    pixels = decode(photo.path.read_bytes()).pixels
    crop = Image.fromarray(pixels[top : max(bottom, top + 1), left : max(right, left + 1)])
    scale = TOOTH_HEIGHT / crop.height
    frame = (
        *((xmin * photo.width - left) * scale, (ymin * photo.height - top) * scale),
        *((xmax * photo.width - left) * scale, (ymax * photo.height - top) * scale),
    )
    return crop.resize((max(1, round(scale * crop.width)), TOOTH_HEIGHT)), frame


def random_photos(
    photos: Sequence[AnnotatedPhoto], *, with_caries: bool, count: int, seed: int = 0
) -> list[AnnotatedPhoto]:
    """Random photos with, or without, a tooth labelled carious."""
    fitting = [photo for photo in photos if bool((photo.class_ids == CLASS_IDS["caries"]).any()) == with_caries]
    chosen = np.random.default_rng(seed).permutation(len(fitting))[:count]
    return [fitting[int(position)] for position in sorted(chosen)]
