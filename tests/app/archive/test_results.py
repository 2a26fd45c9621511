"""The files of the results are complete or absent."""

from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="the extra ray is not installed")
pytest.importorskip("pyarrow", reason="the extra ray is not installed")

from pyarrow import parquet

from app.archive.plan import Plan
from app.archive.results import Results
from app.errors import OutputError


@pytest.mark.parametrize("place", ["{}/out", "memory://{}/out"])
def test_plan_and_parts(tmp_path: Path, place: str) -> None:
    results = Results(place.format(tmp_path))
    assert results.read_plan() is None
    plan = Plan({"model": "a"}, (("1.jpg", "\udcff.jpg"), ("3.jpg",)))
    results.write_plan(plan)
    assert results.read_plan() == plan
    assert results.finished() == set()
    results.write_part(1, [{"file": "3.jpg", "error": "damaged"}])
    results.write_part(0, [{"file": "1.jpg", "verdict": "no_caries_found"}, {"file": "2.jpg", "error": "empty"}])
    results.write_part(1, [{"file": "3.jpg", "error": "damaged"}])
    assert results.finished() == {0, 1}
    assert list(results.failures()) == [("2.jpg", "empty"), ("3.jpg", "damaged")]


def test_incomplete_files_of_a_killed_call_are_removed(tmp_path: Path) -> None:
    results = Results(str(tmp_path))
    results.write_part(7, [{"file": "1.jpg"}])
    partial = tmp_path / "photos" / ".shard-00003.parquet.5e.partial"
    partial.write_bytes(b"PAR1")
    assert results.finished() == {7}
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["shard-00007.parquet"]
    assert parquet.read_table(tmp_path / "photos").to_pylist()[0]["file"] == "1.jpg"


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(OutputError, match=r"plan\.json cannot be read"):
        Results(str(tmp_path)).read_plan()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be used for the results"):
        Results(str(tmp_path / "file" / "out")).write_plan(Plan({}))
