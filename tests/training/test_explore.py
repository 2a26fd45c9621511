"""The report on rendered photos: self-contained, true, and of use for one photo alone."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from training.annotations import read_annotated_photos
from training.cli import main


@pytest.fixture(scope="module")
def report(small_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("explore")
    assert main(["explore", "--data", str(small_data), "--out", str(out)]) == 0
    return out


class Page(HTMLParser):
    """Collects what a page refers to, its text, and tags that were left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.references += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("img", "meta", "p", "html"):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in ("p", "html"):
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)


def test_the_page_needs_nothing_but_itself(report) -> None:
    page = Page((report / "report.html").read_text())
    assert len(page.references) >= 10
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert page.open == []


def test_the_numbers_are_those_of_the_photos(report, small_data) -> None:
    photos = read_annotated_photos(small_data)
    facts = json.loads((report / "explore.json").read_text())
    caries = sum(int((photo.class_ids == 2).sum()) for photo in photos)
    assert facts["photos"] == len(photos) == 10
    assert facts["boxes"]["caries"] == caries
    assert facts["photos_in_folds"] == [2, 2, 2, 2, 2]
    heights = np.concatenate([photo.boxes[:, 2] - photo.boxes[:, 0] for photo in photos]) * 320
    widths = np.concatenate([photo.boxes[:, 3] - photo.boxes[:, 1] for photo in photos]) * 320
    assert facts["box_aspect_ratio"]["p50"] == pytest.approx(np.median(widths / heights), abs=1e-3)
    assert facts["photo_longer_side"]["p50"] == 240
    text = " ".join(Page((report / "report.html").read_text()).words)
    assert f"{caries} caries" in text
    names = [item["name"] for item in facts["anchors"]]
    assert names[:3] == ["recipe", "stock", "study"]
    assert "found" in names


def test_every_figure_lies_beside_the_page_as_png(report) -> None:
    names = {path.stem for path in report.glob("*.png")}
    assert {"box_sizes", "aspect_ratios", "anchor_reach", "teeth_caries", "photos_with_caries", "sharpness"} <= names
    for path in report.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 20


@pytest.mark.parametrize("name", ["3", "0003", None])
def test_one_photo_by_name_or_number(small_data, tmp_path, capsys, name) -> None:
    photo = next(photo for photo in read_annotated_photos(small_data) if photo.path.stem.endswith("3"))
    asked = name or photo.path.name
    assert main(["explore", "--data", str(small_data), "--out", str(tmp_path), "--sample", asked]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{photo.path.name}: 240x180 pixels")
    assert f"{len(photo.boxes)} boxes" in out
    assert [path.name for path in tmp_path.iterdir()] == [f"sample-{photo.path.stem}.png"]


def test_an_unknown_photo_is_refused_with_the_nearest_names(small_data, tmp_path, capsys) -> None:
    assert main(["explore", "--data", str(small_data), "--out", str(tmp_path), "--sample", "777"]) == 1
    assert "there is no photo '777'; the nearest names are" in capsys.readouterr().err
