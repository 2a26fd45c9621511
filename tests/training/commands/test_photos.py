import csv
from pathlib import Path

import pytest

from training.cli import main

pytest.importorskip("scipy", reason="the training environment is not installed")


def test_command_line_writes_photos_labels_and_folds(tmp_path: Path) -> None:
    sizes = ["--width", "96", "--height", "72"]
    assert main(["render", "--out", str(tmp_path), "--count", "6", "--seed", "3", *sizes]) == 0
    assert len(list((tmp_path / "img_train").iterdir())) == len(list((tmp_path / "json_train").iterdir())) == 6
    with (tmp_path / "folds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["fold"] for row in rows] == ["0", "1", "2", "3", "4", "0"]
    assert len({row["group"] for row in rows}) == 6
