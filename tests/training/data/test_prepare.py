"""The command `prepare` on data with one problem at a time: one line names it, and nothing is written.

`python -m tests.training.data.test_prepare` prints the table of problems and messages.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from training.cli import main
from training.render import write_via
from training.run_folder import RunFolder

Break = Callable[[Path], object]

PHOTO, LABELS = "Folder_0001.jpg", "Folder_0001.json"


def edit(change: Callable[[list[dict]], object]) -> Break:
    """Change the regions of the first photo's labels."""

    def apply(data: Path) -> None:
        path = data / "json_train" / LABELS
        content = json.loads(path.read_text())
        change(content["annotation"]["regions"])
        path.write_text(json.dumps(content))

    return apply


def shape(**changes: object) -> Break:
    return edit(lambda regions: regions[0]["shape_attributes"].update(changes))


def labels(text: str | bytes) -> Break:
    return lambda data: (
        (data / "json_train" / LABELS).write_bytes(text.encode() if isinstance(text, str) else text) and None
    )


def photo(content: bytes) -> Break:
    return lambda data: (data / "img_train" / PHOTO).write_bytes(content) and None


def splits(text: str) -> Break:
    return lambda data: (data / "folds.csv").write_text(text) and None


def picture(kind: str, size: tuple[int, int] = (200, 150)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "pink").save(data, kind)
    return data.getvalue()


def turn(data: Path) -> None:
    """Mark the first photo as lying on its side, as a phone does, so that its labels leave the upright photo."""
    path = data / "img_train" / PHOTO
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    shape(x=180.0, y=10.0, width=15.0, height=10.0)(data)
    edit(lambda regions: regions.__delitem__(slice(1, None)))(data)


def duplicate(data: Path) -> None:
    edit(lambda regions: regions.append(json.loads(json.dumps(regions[0]))))(data)


def duplicate_in_a_split_group(data: Path) -> None:
    duplicate(data)
    splits("image,group,fold\nFolder_0001.jpg,a,1\nFolder_0002.jpg,a,3\n")(data)


def twin(data: Path) -> None:
    (data / "more").mkdir()
    shutil.copy(data / "img_train" / PHOTO, data / "more" / PHOTO)


def only(kind: str, name: str, content: str) -> Break:
    """Replace all labels with one file of another format."""

    def apply(data: Path) -> None:
        shutil.rmtree(data / "json_train")
        (data / kind).mkdir(exist_ok=True)
        (data / kind / name).write_text(content)
        for path in sorted((data / "img_train").iterdir())[1:]:
            path.unlink()

    return apply


def coco(**changes: object) -> Break:
    content = {
        "images": [{"id": 1, "file_name": PHOTO, "width": 200, "height": 150}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}],
        "categories": [{"id": 1, "name": "caries"}],
    }
    return only(".", "coco.json", json.dumps({**content, **changes}))


def no_photos(data: Path) -> None:
    shutil.rmtree(data / "img_train")


VOC = "<annotation><size><width>{}</width><height>{}</height></size>{}</annotation>"

BROKEN: list[tuple[str, Break, str]] = [
    ("a photo without labels", lambda data: (data / "json_train" / LABELS).unlink(), f"{PHOTO}: no labels"),
    ("labels without a photo", lambda data: (data / "img_train" / PHOTO).unlink(), f"{LABELS}: no photo"),
    ("no photo at all", no_photos, "DATA: contains no photo (.dcm, .heic, .heif, .jpeg, .jpg, .png, .webp)"),
    (
        "an empty photo",
        photo(b""),
        f"{PHOTO}: the photo has no bytes; send JPEG, PNG, WebP, HEIC or DICOM",
    ),
    (
        "half a photo",
        lambda data: photo((data / "img_train" / PHOTO).read_bytes()[:3000])(data),
        f"{PHOTO}: the JPEG photo is damaged or incomplete and cannot be decoded",
    ),
    (
        "a GIF called JPEG",
        photo(picture("GIF")),
        f"{PHOTO}: GIF files are not accepted; send JPEG, PNG, WebP, HEIC or DICOM",
    ),
    (
        "a text called JPEG",
        photo(b"hello there"),
        f"{PHOTO}: the bytes are not a known picture format; send JPEG, PNG, WebP, HEIC or DICOM",
    ),
    (
        "a TIFF among the photos",
        lambda data: (data / "img_train" / "x.tiff").write_bytes(picture("TIFF")) and None,
        "x.tiff: no labels",
    ),
    ("two photos of one name", twin, f"{PHOTO}: there is another photo of this name"),
    (
        "a photo on its side, labelled unturned",
        turn,
        f"{LABELS}: region 1: the box 180,10 15x10 leaves the photo of 150x200; its EXIF orientation turns it: save it "
        "upright, and label that",
    ),
    ("an empty box", shape(width=0), f"{LABELS}: region 1: the box is empty (0 x HEIGHT pixels)"),
    ("a box drawn backwards", shape(width=-5, height=10), f"{LABELS}: region 1: the box is empty (-5 x 10 pixels)"),
    (
        "a box outside",
        shape(x=190, y=10, width=50, height=20),
        f"{LABELS}: region 1: the box 190,10 50x20 leaves the photo of 200x150",
    ),
    (
        "a box of words",
        shape(x="left"),
        f"{LABELS}: region 1: needs x, y, width, height and a label",
    ),
    ("a box of no number", shape(x=float("nan")), f"{LABELS}: region 1: the box is not four finite numbers"),
    ("an infinite box", shape(width=float("inf")), f"{LABELS}: region 1: the box is not four finite numbers"),
    (
        "a box without a side",
        edit(lambda regions: regions[0]["shape_attributes"].pop("height")),
        f"{LABELS}: region 1: needs x, y, width, height and a label",
    ),
    ("a circle", shape(name="circle"), f"{LABELS}: region 1: the shape is 'circle', allowed is rect"),
    (
        "an unknown label",
        edit(lambda regions: regions[0]["region_attributes"].update(label="cavity")),
        f"{LABELS}: region 1: label 'cavity', allowed are normal, caries; rename it with --rename cavity=caries",
    ),
    (
        "no label",
        edit(lambda regions: regions[0]["region_attributes"].clear()),
        f"{LABELS}: region 1: needs x, y, width, height and a label",
    ),
    ("the same box twice", duplicate, f"{LABELS}: region LAST: the same box as region 1"),
    ("labels that are not JSON", labels("{"), f"{LABELS}: is not JSON (REASON)"),
    ("labels that are not text", labels(b"\xff\xfe\x00"), f"{LABELS}: is not UTF-8 text (UnicodeDecodeError)"),
    (
        "labels of something else",
        labels('{"teeth": 3}'),
        f"{LABELS}: not VGG Image Annotator, a JSON file for each photo",
    ),
    (
        "labels without regions",
        labels('{"annotation": {}}'),
        f"{LABELS}: not a VIA file with annotation.regions (KeyError)",
    ),
    (
        "regions that are a number",
        labels('{"annotation": {"regions": 3}}'),
        f"{LABELS}: the regions are neither a list nor a mapping",
    ),
    (
        "a fold that there is not",
        splits("image,group,fold\nFolder_0001.jpg,a,5\nFolder_0002.jpg,b,0\n"),
        "folds.csv: fold of Folder_0001.jpg is '5', allowed are 0 to 4",
    ),
    ("a photo in no fold", splits("image,group,fold\nFolder_0001.jpg,a,1\n"), "Folder_0002.jpg: not in folds.csv"),
    (
        "look-alikes in two folds",
        splits("image,group,fold\nFolder_0001.jpg,a,1\nFolder_0002.jpg,a,0\n"),
        "folds.csv: group a is in folds [0, 1], so look-alikes would leak",
    ),
    (
        "folds without a heading",
        splits("Folder_0001.jpg,a,1\n"),
        "folds.csv: the columns must be image, group and fold",
    ),
    (
        "a photo in the folds twice",
        splits("image,group,fold\nFolder_0001.jpg,a,1\nFolder_0001.jpg,a,1\nFolder_0002.jpg,b,0\n"),
        "folds.csv: Folder_0001.jpg is listed twice",
    ),
    (
        "COCO: a box of three numbers",
        coco(annotations=[{"id": 7, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]),
        f"coco.json, {PHOTO}: annotation 7: needs image_id, category_id and a bbox of four numbers",
    ),
    (
        "COCO: an image that there is not",
        coco(annotations=[{"id": 7, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}]),
        "coco.json: annotation 7: there is no image 2",
    ),
    (
        "COCO: a category that there is not",
        coco(annotations=[{"id": 7, "image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4]}]),
        f"coco.json, {PHOTO}: annotation 7: there is no category 9",
    ),
    (
        "COCO: another size than the photo's",
        coco(images=[{"id": 1, "file_name": PHOTO, "width": 150, "height": 200}]),
        f"coco.json, {PHOTO}: labelled at 150x200 pixels, the upright photo has 200x150",
    ),
    (
        "VOC: a box without edges",
        only("xml", "Folder_0001.xml", VOC.format(200, 150, "<object><name>caries</name></object>")),
        "Folder_0001.xml: object 1: needs a name and a bndbox with xmin, ymin, xmax and ymax",
    ),
    (
        "VOC: another kind of XML",
        only("xml", "Folder_0001.xml", "<html/>"),
        "Folder_0001.xml: not a Pascal VOC file: its root is 'html', expected is annotation",
    ),
    (
        "YOLO: no names of classes",
        only("labels", "Folder_0001.txt", "0 0.5 0.5 0.2 0.2"),
        "YOLO labels need the names of their classes in classes.txt, obj.names, data.yaml or dataset.yaml",
    ),
    (
        "LabelMe: a shape without points",
        only("json", "Folder_0001.json", '{"shapes": [{"label": "caries"}]}'),
        "Folder_0001.json: shape 1: needs a label and points of two numbers each",
    ),
]


def intact(folder: Path) -> Path:
    """Two small rendered photos with valid labels."""
    write_via(folder, range(1, 3), width=200, height=150)
    for kind, suffix in (("img_train", ".jpg"), ("json_train", ".json")):
        for number, path in enumerate(sorted((folder / kind).iterdir()), start=1):
            path.rename(path.with_name(f"Folder_{number:04d}{suffix}"))
    (folder / "folds.csv").unlink()
    return folder


def said(data: Path, out: Path, capture: Callable[[], str]) -> tuple[int, list[str]]:
    """Exit status and the error's lines, without the names of command and folder."""
    status = main(["prepare", "--data", str(data), "--out", str(out)])
    lines = [line for line in capture().splitlines() if not line.startswith("prepare   ")]
    return status, [line.removeprefix("prepare: ").replace(str(data), "DATA") for line in lines]


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return intact(tmp_path_factory.mktemp("intact") / "data")


def test_at_least_thirty_problems_are_covered() -> None:
    assert len(BROKEN) >= 30
    assert len({name for name, _, _ in BROKEN}) == len(BROKEN)


@pytest.mark.parametrize(("name", "damage", "message"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_problem_is_one_line_and_nothing_is_written(original, tmp_path, capsys, name, damage, message) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(original, data)
    damage(data)
    status, lines = said(data, out, lambda: capsys.readouterr().err)
    assert status == 1
    assert len(lines) == 1, lines
    for part in message.replace("HEIGHT", "|").replace("LAST", "|").replace("REASON", "|").split("|"):
        assert part in lines[0]
    assert not out.exists()


def test_a_damaged_zip_file_leaves_nothing_behind(original, tmp_path, capsys) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "data"), "zip", original))
    archive.write_bytes(archive.read_bytes()[:-30])
    status, lines = said(archive, tmp_path / "run", lambda: capsys.readouterr().err)
    assert status == 1
    assert lines[0].startswith("data.zip: cannot be unpacked as a zip file")
    assert not (tmp_path / "run").exists()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("img_train/a.jpg", b"no photo")
    assert said(archive, tmp_path / "run", lambda: capsys.readouterr().err)[0] == 1
    assert not (tmp_path / "run").exists()


def test_a_refused_zip_file_leaves_the_photos_of_the_last_one(original, tmp_path, capsys) -> None:
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", original)
    command = ["prepare", "--data", archive, "--out", str(tmp_path / "run")]
    assert main(command) == 0
    photos = RunFolder(tmp_path / "run").photos()
    assert main([*command, "--rename", "caries=carious"]) == 1
    assert "carious" in capsys.readouterr().err
    assert [photo.path for photo in RunFolder(tmp_path / "run").photos()] == [photo.path for photo in photos]
    assert main(command) == 0
    assert {path.name for path in (tmp_path / "run" / "records").iterdir() if path.is_dir()} == {"unpacked"}


SKIPPED: list[tuple[str, Break, str]] = [
    ("a duplicate box", duplicate, f"{LABELS}: region LAST: the same box as region 1"),
    ("an unreadable JPEG", photo(b"\xff\xd8\xff\xe0 no picture"), f"{PHOTO}: the JPEG photo is damaged"),
    ("a box outside", shape(x=190, y=10, width=50, height=20), f"{LABELS}: region 1: the box 190,10 50x20 leaves"),
    (
        "an unknown label",
        edit(lambda regions: regions[0]["region_attributes"].update(label="cavity")),
        f"{LABELS}: region 1: label 'cavity'",
    ),
    ("an unreadable label file", labels("{"), f"{LABELS}: is not JSON"),
    (
        "a fold out of range",
        splits("image,group,fold\nFolder_0001.jpg,a,5\nFolder_0002.jpg,b,3\n"),
        "folds.csv: fold of Folder_0001.jpg is '5'",
    ),
    (
        "a duplicate box in a group that spans two folds",
        duplicate_in_a_split_group,
        f"{LABELS}: region LAST: the same box as region 1",
    ),
]


@pytest.mark.parametrize(("damage", "message"), [row[1:] for row in SKIPPED], ids=[name for name, _, _ in SKIPPED])
def test_skip_invalid_leaves_out_the_photo_and_lists_it(original, tmp_path, capsys, damage, message) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(original, data)
    damage(data)
    assert main(["prepare", "--data", str(data), "--out", str(out), "--skip-invalid"]) == 0
    shown = capsys.readouterr().err
    (line,) = (out / "records" / "skipped.txt").read_text().splitlines()
    for part in message.split("LAST"):
        assert part in line
    assert "1 photos, 0 of them without a box" in shown
    assert f"1 photos skipped, listed in skipped.txt:\n{' ' * 12}{line}\n" in shown
    (kept,) = RunFolder(out).photos()
    assert kept.path.name == "Folder_0002.jpg"
    assert "Folder_0001" not in (out / "records" / "folds.csv").read_text()
    if (data / "folds.csv").exists():
        assert kept.fold == 3
    # The list of an earlier call does not stay when the data is valid again.
    shutil.rmtree(data)
    shutil.copytree(original, data)
    assert main(["prepare", "--data", str(data), "--out", str(out)]) == 0
    assert not (out / "records" / "skipped.txt").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (splits("Folder_0001.jpg,a,1\n"), "folds.csv: the columns must be image, group and fold"),
        (
            splits("image,group,fold\nFolder_0001.jpg,a,1\nFolder_0002.jpg,a,0\n"),
            "folds.csv: group a is in folds [0, 1], so look-alikes would leak",
        ),
        (no_photos, "DATA: contains no photo (.dcm, .heic, .heif, .jpeg, .jpg, .png, .webp)"),
        (
            coco(annotations=[{"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}]),
            "coco.json: annotation ?: there is",
        ),
    ],
)
def test_skip_invalid_still_refuses_problems_that_concern_no_single_photo(
    original, tmp_path, capsys, damage, message
) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(original, data)
    damage(data)
    assert main(["prepare", "--data", str(data), "--out", str(out), "--skip-invalid"]) == 1
    assert message.replace("DATA", str(data)) in capsys.readouterr().err
    assert not out.exists()


def test_skip_invalid_refuses_data_without_a_valid_photo(original, tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(original, data)
    for path in (data / "img_train").iterdir():
        path.write_bytes(b"")
    assert main(["prepare", "--data", str(data), "--out", str(out), "--skip-invalid"]) == 1
    assert capsys.readouterr().err.count("the photo has no bytes") == 2
    assert not out.exists()


def test_skip_invalid_attributes_problems_of_a_file_for_all_photos(original, tmp_path, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(original, data)
    shutil.rmtree(data / "json_train")
    images = [{"id": number, "file_name": f"Folder_000{number}.jpg"} for number in (1, 2)]
    boxes = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [10, 10]},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [10, 10, 20, 20]},
    ]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "caries"}]}
    (data / "coco.json").write_text(json.dumps(content))
    assert main(["prepare", "--data", str(data), "--out", str(out), "--skip-invalid"]) == 0
    assert f"coco.json, {PHOTO}: annotation 2: needs image_id" in (out / "records" / "skipped.txt").read_text()
    assert [photo.path.name for photo in RunFolder(out).photos()] == ["Folder_0002.jpg"]


def table() -> str:
    """The problems and their messages, in Markdown."""
    rows = ["| problem | message |", "|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        original = intact(Path(folder) / "intact")
        for number, (name, damage, _) in enumerate(BROKEN):
            data = Path(folder) / str(number)
            shutil.copytree(original, data)
            damage(data)
            captured = io.StringIO()
            with contextlib.redirect_stderr(captured):
                _, lines = said(data, Path(folder) / "run", captured.getvalue)
            rows.append(f"| {name} | `{' / '.join(lines)}` |")
    return "\n".join(rows)


def test_the_documentation_shows_every_message() -> None:
    page = (ROOT / "docs" / "data-errors.md").read_text(encoding="utf-8")
    assert table() in page, "regenerate it with: python -m tests.training.data.test_prepare"


if __name__ == "__main__":
    print(table())
