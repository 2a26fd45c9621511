import json
import shutil

from tests.training.explore.conftest import Page
from training.cli import main


def test_the_same_photos_give_the_same_report(report, labelled, tmp_path) -> None:
    assert main(["explore", "--data", str(labelled), "--out", str(tmp_path)]) == 0
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert again == {path.name: path.read_bytes() for path in report.iterdir()}


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
