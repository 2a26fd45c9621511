"""The report on rendered photos, and the sheet of one photo."""

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from training.cli import main
from training.data.annotations import read_annotated_photos
from training.explore.sheets import contact_sheet, tooth_crops
from training.model.anchors import STOCK_RATIOS, STOCK_SCALE, STUDY_RATIOS, Anchors, all_boxes, measure, search


@pytest.fixture(scope="module")
def labelled(small_data, tmp_path_factory):
    """Ten small mouths, two of them in one group whose name looks like HTML."""
    folder = tmp_path_factory.mktemp("labelled") / "mouths & more"
    shutil.copytree(small_data, folder)
    lines = (folder / "folds.csv").read_text().splitlines()
    lines[1:3] = ["Folder_0001.jpg,<b>one</b>,0", "Folder_0002.jpg,<b>one</b>,0"]
    (folder / "folds.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def report(labelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("explore")
    assert main(["explore", "--data", str(labelled), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def facts(report):
    return json.loads((report / "explore.json").read_text())


VOID = {"meta", "img"}


class Page(HTMLParser):
    """Collects the references and the text of a page; fails if tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.alternatives: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.add(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]
        self.ids |= {value for name, value in attributes if name == "id"}
        if tag == "img":
            self.alternatives.append(dict(attributes)["alt"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data + " "


@pytest.fixture(scope="module")
def page(report):
    return Page((report / "report.html").read_text())


def test_the_page_is_self_contained(report, page) -> None:
    pictures = [reference for reference in page.references if not reference.startswith("#")]
    assert len(pictures) == len(page.alternatives) >= 15
    assert all(reference.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for reference in pictures)
    assert all(page.alternatives)
    assert {reference[1:] for reference in page.references if reference.startswith("#")} == page.ids
    assert page.open == []
    assert page.tags.isdisjoint({"script", "link", "iframe", "b"})
    assert "url(" not in (report / "report.html").read_text()


def test_names_are_text_and_never_markup(page) -> None:
    assert "Annotated photos: mouths & more" in page.text
    assert "Group <b>one</b>: 2 photos, fold 0." in page.text


def test_the_numbers_are_those_of_the_photos(facts, page, labelled) -> None:
    photos = read_annotated_photos(labelled)
    boxes = np.concatenate([photo.boxes for photo in photos])
    class_ids = np.concatenate([photo.class_ids for photo in photos])
    heights, widths = (boxes[:, 2] - boxes[:, 0]) * 320, (boxes[:, 3] - boxes[:, 1]) * 320
    caries = int((class_ids == 2).sum())
    assert facts["photos"] == len(photos) == 10
    assert facts["photos_with_caries"] + facts["photos_without_caries"] == 10
    assert facts["boxes"] == {"normal": len(boxes) - caries, "caries": caries}
    assert facts["photos_in_folds"] == [fold["photos"] for fold in facts["folds"]]
    assert sum(fold["boxes"]["caries"] for fold in facts["folds"]) == caries
    assert facts["look_alike_groups"] == {"<b>one</b>": 2}
    assert facts["groups"] == 9
    assert facts["photo_longer_side"]["p50"] == 240
    for name, values in (
        ("box_aspect_ratio", widths / heights),
        ("box_area", widths * heights),
        ("box_shorter_side", np.minimum(widths, heights)),
        ("box_longer_side", np.maximum(widths, heights)),
    ):
        assert facts[name]["p50"] == pytest.approx(np.median(values), rel=1e-3)
        assert facts["by_class"]["caries"][name]["p50"] == pytest.approx(np.median(values[class_ids == 2]), rel=1e-3)
    assert [item["boxes"]["normal"] + item["boxes"]["caries"] for item in facts["each_photo"]] == [
        len(photo.boxes) for photo in photos
    ]
    assert f"{caries} ({caries / len(boxes):.1%})" in page.text
    assert f"Of {len(boxes)} teeth" in page.text


def test_anchors_are_counted_once_for_each_tooth(facts, page) -> None:
    boxes = sum(facts["boxes"].values())
    unreached = round(facts["unreached"] * boxes)
    assert sum(shape["best_for"] for shape in facts["anchor_shapes"]) == boxes
    assert len(facts["anchor_shapes"]) == 30
    assert sum(entry["boxes"] for entry in facts["unreached_by_size"]) == boxes
    assert sum(entry["unreached"] for entry in facts["unreached_by_size"]) == unreached
    for entry in facts["unreached_by_size"]:
        assert entry["boxes"] == entry["normal"]["boxes"] + entry["caries"]["boxes"]
    assert f"({unreached} of {boxes})" in page.text


def test_better_anchors_are_given_as_a_recipe_takes_them(facts, page) -> None:
    names = [item["name"] for item in facts["anchors"]]
    assert names == ["recipe", "stock", "study", *["found"] * 5]
    assert facts["anchors"][0]["unreached"] == facts["unreached"]
    assert facts["anchors"][2]["aspect_ratios"] == [1.0, 2.85, 0.35]
    found = [item["unreached"] for item in facts["anchors"][3:]]
    assert found == sorted(found)
    assert found[0] <= facts["anchors"][1]["unreached"]
    ratios = ", ".join(f"{ratio:g}" for ratio in facts["anchors"][3]["aspect_ratios"])
    assert f"aspect_ratios = [{ratios}]" in page.text
    assert f"anchor_scale = {facts['anchors'][3]['anchor_scale']:g}" in page.text


def test_every_figure_is_also_a_png_file(report, page) -> None:
    names = {path.stem for path in report.glob("*.png")}
    assert {"box_sizes", "box_areas", "aspect_ratios", "unreached_by_size", "best_anchors", "sharpness"} <= names
    assert {"teeth_caries", "teeth_normal", "photos_with_caries", "look_alikes_1", "darkest"} <= names
    assert len(names) == len(page.alternatives)
    for path in report.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 20
    assert {path.suffix for path in report.iterdir()} == {".png", ".json", ".html"}


def test_the_same_photos_give_the_same_report_and_another_seed_other_samples(report, labelled, tmp_path) -> None:
    assert main(["explore", "--data", str(labelled), "--out", str(tmp_path)]) == 0
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert again == {path.name: path.read_bytes() for path in report.iterdir()}
    photos = read_annotated_photos(labelled)
    first, second = (contact_sheet(tooth_crops(photos, "normal", 8, seed=seed), columns=4) for seed in (0, 1))
    assert first.tobytes() != second.tobytes()


def test_photos_without_any_box_are_reported_too(labelled, tmp_path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(labelled, data)
    for path in (data / "json_train").iterdir():
        path.write_text(json.dumps({"annotation": {"filename": f"{path.stem}.jpg", "regions": []}}))
    assert main(["explore", "--data", str(data), "--out", str(out)]) == 0
    facts = json.loads((out / "explore.json").read_text())
    assert (facts["photos_without_boxes"], facts["unreached"]) == (10, None)
    assert Page((out / "report.html").read_text()).open == []
    assert not (out / "box_sizes.png").exists()


@pytest.mark.parametrize("asked", ["3", "0003", "Folder_0003", "Folder_0003.jpg"])
def test_one_photo_by_name_or_number(labelled, tmp_path, capsys, asked) -> None:
    photo = next(photo for photo in read_annotated_photos(labelled) if photo.path.stem == "Folder_0003")
    assert main(["explore", "--data", str(labelled), "--out", str(tmp_path), "--sample", asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Folder_0003.jpg: 240x180 pixels, group {photo.group}, fold {photo.fold}"
    assert lines[1] == "look-alikes: none"
    assert lines[3] == f"{len(photo.boxes)} boxes, in pixels:"
    number, name, xmin, *_, height = lines[5].split()
    assert (number, name) == ("1", {1: "normal", 2: "caries"}[int(photo.class_ids[0])])
    assert float(xmin) == pytest.approx(photo.boxes[0, 1] * 240, abs=0.06)
    assert float(height) == pytest.approx((photo.boxes[0, 2] - photo.boxes[0, 0]) * 180, abs=0.06)
    assert [path.name for path in tmp_path.iterdir()] == ["sample-Folder_0003.png"]


def test_the_look_alikes_of_a_photo_are_named(labelled, tmp_path, capsys) -> None:
    assert main(["explore", "--data", str(labelled), "--out", str(tmp_path), "--sample", "2"]) == 0
    assert "look-alikes: Folder_0001.jpg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "nearest"), [("777", "Folder_0010.jpg, Folder_0009.jpg"), ("Folder_00O3", "Folder_0003.jpg")]
)
def test_an_unknown_photo_is_refused_with_the_nearest_names(labelled, tmp_path, capsys, asked, nearest) -> None:
    out = tmp_path / "out"
    assert main(["explore", "--data", str(labelled), "--out", str(out), "--sample", asked]) == 1
    error = capsys.readouterr().err
    assert f"there is no photo '{asked}'; the nearest names are" in error
    assert nearest in error
    assert not out.exists()


def test_a_number_of_two_photos_is_refused(labelled, tmp_path, capsys) -> None:
    data = tmp_path / "data"
    shutil.copytree(labelled, data)
    (data / "folds.csv").unlink()
    shutil.copy(data / "img_train" / "Folder_0004.jpg", data / "img_train" / "other_4.jpg")
    shutil.copy(data / "json_train" / "Folder_0004.json", data / "json_train" / "other_4.json")
    text = (data / "json_train" / "other_4.json").read_text().replace("Folder_0004.jpg", "other_4.jpg")
    (data / "json_train" / "other_4.json").write_text(text)
    assert main(["explore", "--data", str(data), "--out", str(tmp_path / "out"), "--sample", "4"]) == 1
    assert "'4' matches Folder_0004.jpg, other_4.jpg: give one name" in capsys.readouterr().err


def test_on_the_real_photos_better_anchors_are_found(real_photos) -> None:
    """Teeth are smaller and narrower than the stock anchors and the study's; the recipe's fit better."""
    boxes, class_ids = all_boxes(read_annotated_photos(real_photos))
    stock, study, recipe = (
        measure(boxes, class_ids, Anchors(ratios, scale, 320)).unreached
        for ratios, scale in ((STOCK_RATIOS, STOCK_SCALE), (STUDY_RATIOS, STOCK_SCALE), ((1.0, 0.5, 0.35), 3.0))
    )
    found = search(boxes, class_ids, 320)[0].unreached
    assert found < recipe < study < stock
