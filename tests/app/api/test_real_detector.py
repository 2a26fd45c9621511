"""The shipped detector behind a real server, once with each runtime (fixture `real`)."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from app.api.answers import ScreeningAnswer
from tests.app.api.live_server import Live

pytestmark = pytest.mark.slow

JSON = {"Accept": "application/json"}
HEIC = Path(__file__).parents[2] / "data" / "four_colours.heic"


@pytest.fixture(scope="module")
def example(example_photos: list[Path]) -> bytes:
    """The first example, which has lesions."""
    return example_photos[0].read_bytes()


def ask(real: Live, data: bytes, query: str = "") -> dict:
    response = real.client.post(f"/detect{query}", content=data, headers=JSON)
    assert response.status_code == 200, response.text
    ScreeningAnswer.model_validate(response.json())
    return response.json()


def saved(picture: Image.Image, kind: str = "JPEG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}) | options)
    return out.getvalue()


def as_kinds(example: bytes) -> dict[str, bytes]:
    """The same mouth as phones, cameras and scanners would store it."""
    picture = Image.open(io.BytesIO(example))
    turned = Image.Exif()
    turned[0x0112] = 6
    wide = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    return {
        "jpeg": example,
        "png": saved(picture, "PNG"),
        "webp": saved(picture, "WEBP"),
        "cmyk": saved(picture.convert("CMYK")),
        "alpha": saved(picture.convert("RGBA"), "PNG"),
        "turned by exif": saved(picture.transpose(Image.Transpose.ROTATE_90), exif=turned),
        "grey": saved(picture.convert("L")),
        "16 bit grey": saved(Image.fromarray(wide), "PNG"),
    }


@pytest.mark.parametrize("kind", ["png", "webp", "cmyk", "alpha", "turned by exif"])
def test_the_file_format_does_not_change_the_answer(real: Live, example: bytes, kind: str) -> None:
    plain, other = ask(real, example), ask(real, as_kinds(example)[kind])
    assert plain["verdict"] == other["verdict"] == "caries_suspected"
    assert (other["image"]["width"], other["image"]["height"]) == (640, 480)
    best, same = plain["detections"][0], other["detections"][0]
    assert same["score"] == pytest.approx(best["score"], abs=0.1)
    if same["score"] > other["detections"][-1]["score"] + 0.1:
        assert same["box"] == pytest.approx(best["box"], abs=12)


@pytest.mark.parametrize("kind", ["grey", "16 bit grey"])
def test_a_photo_without_colour_is_answered(real: Live, example: bytes, kind: str) -> None:
    assert ask(real, as_kinds(example)[kind])["image"]["width"] == 640


def test_heic_is_answered(real: Live) -> None:
    answer = ask(real, HEIC.read_bytes())
    assert answer["verdict"] == "not_assessable"
    assert "too_small" in answer["reasons"]


def test_raw_body_and_form_give_the_same_boxes(real: Live, example: bytes) -> None:
    raw = ask(real, example)
    form = real.client.post("/detect", files={"file": ("a.jpg", example)}, headers=JSON).json()
    for answer in (raw, form):
        answer.pop("timings_ms")
    assert raw == form


@pytest.mark.parametrize(("query", "kind"), [("", "PNG"), ("?format=jpeg", "JPEG"), ("?format=webp", "WEBP")])
def test_the_picture_shows_the_boxes(real: Live, example: bytes, query: str, kind: str) -> None:
    response = real.client.post(f"/detect{query}", content=example)
    drawn = Image.open(io.BytesIO(response.content))
    assert drawn.format == kind
    assert response.headers["x-caries-verdict"] == "caries_suspected"
    before = np.asarray(Image.open(io.BytesIO(example)).convert("RGB"), np.int16)
    after = np.asarray(drawn.convert("RGB"), np.int16)[:480, :640]
    changed = np.abs(after - before).max(axis=2) > 60
    for detection in ask(real, example)["detections"]:
        box = detection["box"]
        row = min(479, round((box["ymin"] + box["ymax"]) / 2))
        left = max(0, round(box["xmin"]))
        assert changed[row, max(0, left - 3) : left + 6].any()
    assert changed.mean() < 0.25


def test_threshold_classes_and_max_boxes(real: Live, example: bytes) -> None:
    default = ask(real, example)
    assert len(ask(real, example, "?threshold=0&max_boxes=100")["detections"]) > len(default["detections"])
    everything = ask(real, example, "?max_boxes=100&classes=all")
    assert len(everything["detections"]) > len(default["detections"])
    assert {item["class"] for item in everything["detections"]} == {"normal", "caries"}
    assert {item["class"] for item in default["detections"]} == {"caries"}
    capped = ask(real, example, "?max_boxes=1")
    assert len(capped["detections"]) == 1
    assert capped["hidden_by_max_boxes"] == default["hidden_by_max_boxes"] + len(default["detections"]) - 1
    nothing = ask(real, example, "?threshold=1")
    assert nothing["detections"] == []
    assert nothing["verdict"] == "no_caries_found"


@pytest.mark.parametrize("name", ["cat", "coffee"])
def test_a_cat_is_not_assessable(real: Live, name: str) -> None:
    picture = getattr(skimage.data, name)()
    assert ask(real, saved(Image.fromarray(picture), "PNG"))["verdict"] != "no_caries_found"


def test_models_list_runtime_and_device(real: Live) -> None:
    (entry,) = (item for item in real.client.get("/models").json()["models"] if item["live"])
    assert entry["runtime"] == real.service.settings.runtime
    assert entry["device"].split()[0] in ("cpu", "gpu")
    card = real.client.get(entry["card"])
    assert "not a medical device" in card.text


def test_every_real_photo_is_answered(real: Live, real_photos: Path) -> None:
    verdicts = [ask(real, path.read_bytes())["verdict"] for path in sorted((real_photos / "img_train").iterdir())]
    assert len(verdicts) == 209
    assert verdicts.count("not_assessable") <= 0.1 * 209
