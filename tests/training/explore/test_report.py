import json
import shutil

from tests.training.explore.conftest import Page
from training.cli import main
from training.data.annotations import read_annotated_photos
from training.explore.sheets import contact_sheet, tooth_crops


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
