"""Boxes, labels and legend are drawn where they belong; the rest of the photo is unchanged."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import drawing
from app.detector.detections import Detections
from app.drawing import MIN_WIDTH, TEXTS, annotate, scale_colour
from app.photo.encoding import encode
from app.photo.formats import MediaType
from app.photo.limits import Limits
from app.photo.quality import Reason
from app.screening import Screening, Verdict

NAMES: Mapping[int, str] = {1: "normal", 2: "caries"}
MODEL = "caries-ssd-mobilenet-v2-fpnlite-320 v5"
BOXES = Detections(
    np.array([[0.3, 0.3, 0.5, 0.45], [0.3, 0.42, 0.5, 0.55], [0.55, 0.3, 0.7, 0.4]], np.float32),
    np.array([0.91, 0.5, 0.98], np.float32),
    np.array([2, 2, 1], np.int32),
)
SIZES = [(300, 225), (1024, 703), (4000, 3000)]


def photo(width: int, height: int) -> np.ndarray:
    """Between tooth and gum in colour, with enough texture to notice a change."""
    noise = np.random.default_rng(0).integers(-20, 20, (height, width, 3), np.int16)
    return (noise + np.array([200, 150, 140], np.int16)).astype(np.uint8)


def draw(
    pixels: np.ndarray,
    boxes: Detections = BOXES,
    *,
    verdict: Verdict = Verdict.CARIES_SUSPECTED,
    reasons: tuple[Reason, ...] = (),
    hidden: int = 0,
    **options: Any,
) -> np.ndarray:
    settings: dict[str, Any] = {"class_names": NAMES, "screened_class_id": 2, "model": MODEL}
    return annotate(pixels, Screening(verdict, reasons, 0, boxes, hidden), **(settings | options))


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_boxes_are_drawn_and_the_rest_is_unchanged(width: int, height: int, lang: str) -> None:
    pixels = photo(width, height)
    before = pixels.copy()
    drawn = draw(pixels, lang=lang)
    assert (pixels == before).all(), "the photo itself was changed"
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] == width
    assert drawn.shape[0] > height, "no legend"
    changed = (drawn[:height] != pixels).any(2)
    for ymin, xmin, ymax, xmax in BOXES.in_pixels(width, height).round().astype(int):
        assert changed[ymin + 1, xmin + 1 : xmax - 1].mean() > 0.9
        assert changed[ymin + 1 : ymax - 1, xmin + 1].mean() > 0.9
        assert changed[(ymin + ymax) // 2, (xmin + xmax) // 2].mean() == 0, "the tooth is covered"
    far = np.ones_like(changed)
    far[height // 5 : height * 4 // 5, width // 8 : width * 3 // 4] = False
    assert not changed[far].any()


def test_the_photo_may_be_read_only() -> None:
    pixels = photo(300, 200)
    pixels.flags.writeable = False
    draw(pixels)


def test_without_boxes_the_photo_is_unchanged() -> None:
    pixels = photo(300, 200)
    assert (draw(pixels, Detections.empty(), verdict=Verdict.NO_CARIES_FOUND)[:200] == pixels).all()


def legend(width: int = 1024, height: int = 703, **options: Any) -> np.ndarray:
    return draw(photo(width, height), **options)[height:]


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape != b.shape or bool((a != b).any())


def test_every_part_of_the_legend_is_drawn() -> None:
    plain = legend()
    for options in (
        {"lang": "ko"},
        {"hidden": 2},
        {"model": "another v2"},
        {"verdict": Verdict.NO_CARIES_FOUND},
        {"verdict": Verdict.NOT_ASSESSABLE},
        {"boxes": BOXES.head(1)},
    ):
        assert differ(plain, legend(**options)), options
    assert differ(legend(hidden=2), legend(hidden=3))


def test_the_disclaimer_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = legend()
    monkeypatch.setitem(TEXTS["en"], "disclaimer", "")
    assert differ(plain, legend())


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_every_reason_has_its_own_words(lang: str) -> None:
    drawn = [
        legend(verdict=Verdict.NOT_ASSESSABLE, reasons=reasons, lang=lang)
        for reasons in ((), *((reason,) for reason in Reason))
    ]
    for number, one in enumerate(drawn):
        assert all(differ(one, other) for other in drawn[:number])


def test_both_languages_have_every_text() -> None:
    english, korean = (set(TEXTS[lang]) for lang in ("en", "ko"))
    assert set(Verdict) | set(Reason) <= english
    assert english <= korean
    assert {key for key in korean - english if not key.startswith("class:")} == set()


def glyph(text: str) -> np.ndarray:
    return np.asarray(drawing.load_font(32).getmask(text)).reshape(drawing.load_font(32).getmask(text).size[::-1])


def test_every_character_has_its_own_glyph() -> None:
    """A font without Hangul draws one and the same empty box (tofu) for all syllables."""
    missing = glyph("\U0010fffd")
    characters = {c for texts in TEXTS.values() for text in texts.values() for c in text if not c.isspace()}
    assert {"충", "치"} <= characters
    for character in characters:
        assert glyph(character).any(), character
        assert differ(glyph(character), missing), character
    assert differ(glyph("충"), glyph("치"))
    assert differ(glyph("정"), glyph("상"))


def test_labels_say_class_and_score() -> None:
    pixels = photo(1024, 703)
    one = BOXES.head(2).where(np.array([False, True]))
    label = draw(pixels, one)[:703]
    assert differ(label, draw(pixels, one, class_names={1: "normal", 2: "decay"})[:703])
    assert differ(label, draw(pixels, one, lang="ko")[:703])
    other_score = Detections(one.boxes, one.scores - 0.01, one.class_ids)
    assert differ(label, draw(pixels, other_score)[:703])


def test_unknown_class_ids_are_drawn() -> None:
    draw(photo(640, 480), Detections(np.array([[0, 0, 1, 1]]), np.array([0.5]), np.array([9])))


def test_the_screened_colour_runs_from_amber_to_red() -> None:
    scale = [scale_colour(score) for score in np.linspace(0, 1, 21)]
    assert (scale[0], scale[10], scale[20]) == drawing.SCREENED_SCALE
    green = [colour[1] for colour in scale]
    assert green == sorted(green, reverse=True)
    assert len(set(scale)) == len(scale)


def test_labels_avoid_one_another() -> None:
    """A row of neighbouring teeth: no label covers another."""
    marks = drawing.build_marks(
        Detections(
            np.array([[0.4, x, 0.6, x + 0.1] for x in np.arange(0.05, 0.85, 0.1)], np.float32),
            np.linspace(0.4, 0.9, 8, dtype=np.float32),
            np.full(8, 2),
        ),
        1024,
        703,
        NAMES,
        2,
        "en",
    )
    blank = np.full((703, 1024, 3), 255, np.uint8)
    drawing.draw_labels(blank, marks, 17)
    alone = 0
    for mark in marks:
        single = np.full_like(blank, 255)
        drawing.draw_labels(single, [mark], 17)
        alone += int((single != 255).any(2).sum())
    assert (blank != 255).any(2).sum() == alone


@pytest.mark.parametrize(
    "box", [[0, 0, 1, 1], [0, 0, 0.01, 0.01], [0.99, 0.99, 1, 1], [0, 0.5, 1, 0.5], [0.5, 0, 0.5, 1]]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (20, 20), (300, 200)])
def test_edges_and_extreme_shapes(box: list[float], size: tuple[int, int]) -> None:
    pixels = photo(*size)
    drawn = draw(pixels, Detections(np.array([box]), np.array([0.7]), np.array([2])), hidden=3)
    assert drawn.shape[1] == max(size[0], MIN_WIDTH)
    assert drawn.shape[0] > size[1]


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("width", [1, 240, 300, 640, 4000])
def test_legend_text_stays_inside(width: int, lang: str) -> None:
    """Long words wrap: the outermost columns and rows of the band keep its colour."""
    band = legend(width, max(1, width * 3 // 4), lang=lang, hidden=12, model="a-very-long-model-name-" * 8 + "v12")
    for edge in (band[:, :3], band[:, -3:], band[:1], band[-2:]):
        assert (edge == drawing.BAND).all()


def test_threads_draw_the_same() -> None:
    pixels = photo(640, 480)
    expected = draw(pixels)
    with ThreadPoolExecutor(4) as pool:
        for drawn in pool.map(lambda _: draw(pixels), range(16)):
            assert (drawn == expected).all()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(15_000, 80), (80, 15_000), (15_000, 4_266)])
@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp"])
def test_the_longest_photo_with_its_legend_fits_into_every_format(shape: tuple[int, int], kind: MediaType) -> None:
    height, width = shape
    pixels = np.zeros((height, width, 3), np.uint8)
    Limits().check_size(width, height)
    annotated = annotate(
        pixels,
        Screening(Verdict.NOT_ASSESSABLE, tuple(Reason), 0, Detections.empty(), 99),
        class_names=NAMES,
        screened_class_id=2,
        model=MODEL,
        lang="ko",
    )
    assert annotated.shape[0] > height
    assert Image.open(io.BytesIO(encode(annotated, kind))).size == annotated.shape[1::-1]
