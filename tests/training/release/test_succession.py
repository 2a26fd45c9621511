import json

import pytest

from app.detector.bundle import comparison_file, find_bundle, list_bundles, list_comparisons, read_bundle
from tests.training.bundles import BLIND_THRESHOLD, altered
from training.cli import main
from training.release.install import ReleaseError
from training.release.succession import replaced_bundle
from training.render import write_via

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_via(folder, range(40, 50), width=320, height=240)
    return folder


def install(bundle, store, data, *more) -> int:
    command = ["install", str(bundle), "--store", str(store), "--if-better", "--resamples", "20", *more]
    return main([*command, *(("--data", str(data)) if data else ())])


def test_a_better_bundle_is_installed_and_a_worse_one_refused(shipped_bundle, data, tmp_path, capsys) -> None:
    store, name = tmp_path / "store", shipped_bundle.name
    altered(shipped_bundle, store, version=1, threshold=BLIND_THRESHOLD)
    better = altered(shipped_bundle, tmp_path / "made", version=2)
    assert install(better, store, data) == 0
    assert f"{name} 2 installed" in capsys.readouterr().out
    assert read_bundle(find_bundle(store)).version == 2
    kept = json.loads(comparison_file(store / name / "2").read_text())
    assert (kept["is_better"], kept["new"]["sha256"]) == (True, read_bundle(better).sha256)
    assert json.loads(comparison_file(better).read_text()) == kept

    worse, out = altered(shipped_bundle, tmp_path / "made", version=3, threshold=BLIND_THRESHOLD), tmp_path / "why.json"
    assert install(worse, store, data, "--out", str(out)) == 3
    assert "3 is not better" in capsys.readouterr().out
    assert [version for _, version, _ in list_bundles(store)] == [1, 2]
    assert [path.name for path in list_comparisons(store)] == ["2.comparison.json", "3.comparison.json"]
    assert json.loads(out.read_text())["old"]["version"] == 2
    assert not comparison_file(worse).exists()


def test_it_needs_photos(shipped_bundle, data, tmp_path, capsys) -> None:
    altered(shipped_bundle, tmp_path / "store", version=1)
    newer = altered(shipped_bundle, tmp_path / "made", version=2, trained=None)
    assert install(newer, tmp_path / "store", None) == 1
    assert "--if-better needs --data" in capsys.readouterr().err
    assert install(newer, tmp_path / "store", data) == 1
    assert "2: the photos of the training are not listed" in capsys.readouterr().err
    assert not list_comparisons(tmp_path / "store")


def test_the_bundle_that_would_be_replaced(shipped_bundle, tmp_path) -> None:
    store, name = tmp_path / "store", shipped_bundle.name
    for version in (1, 2):
        altered(shipped_bundle, store, version=version)

    def replaced(**keys) -> str:
        made = altered(shipped_bundle, tmp_path / "-".join(map(str, keys.values())), **keys)
        return replaced_bundle(read_bundle(made), store).relative_to(store).as_posix()

    assert replaced(version=3) == f"{name}/2"
    assert replaced(version=1, name="larger", replaces=["gone", name]) == f"{name}/2"
    with pytest.raises(ReleaseError, match="has no larger or gone to compare with; install it without --if-better"):
        replaced(version=2, name="larger", replaces=["gone"])
    with pytest.raises(ReleaseError, match="2, which is as new as version 2: package it as version 3"):
        replaced(version=2)
