import json
from dataclasses import replace

import pytest

from app.api.answers import Comparison as ComparisonAnswer
from tests.training.bundles import BLIND_THRESHOLD, altered
from training.cli import main
from training.data.annotations import read_annotated_photos
from training.data.seen_photos import Use
from training.measure import head_to_head
from training.measure.head_to_head import ComparisonError, Pair, bundle_folder, compare_bundles, decide, unseen_photos
from training.measure.predictions import DetectorError
from training.render import write_via

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve rendered mouths."""
    folder = tmp_path_factory.mktemp("photos")
    write_via(folder, range(40, 52))
    return folder


@pytest.fixture(scope="module")
def photos(data):
    return read_annotated_photos(data)


@pytest.fixture(scope="module")
def pair(shipped_bundle, photos, tmp_path_factory):
    """A bundle that finds nothing, trained on a photo, and one that does, calibrated on that photo and another."""
    store = tmp_path_factory.mktemp("store")
    return (
        altered(shipped_bundle, store, version=1, threshold=BLIND_THRESHOLD, trained=photos[:1]),
        altered(shipped_bundle, store, version=2, calibrated=photos[:2]),
    )


def test_the_better_bundle_wins_on_photos_that_neither_has_seen(pair, data, photos, tmp_path, capsys) -> None:
    out = tmp_path / "kept" / "comparison.json"
    command = ["--data", str(data), "--resamples", "50", "--out", str(out)]
    assert main(["compare", *map(str, pair), *command]) == 0
    printed, kept = capsys.readouterr().out, json.loads(out.read_text())
    assert "10 photos; left out because a detector had seen them: 1 trained, 1 calibrated." in printed
    assert "2 is better: its mean F1 differs by +" in printed
    assert (kept["is_better"], kept["left_out"]) == (True, {"trained": 1, "calibrated": 1})
    assert kept["old"]["score_threshold"] == BLIND_THRESHOLD
    (source,) = kept["photos"]
    assert kept["photos"] == {source: 10}
    for of in (source, "mean"):
        figure = kept["figures"][of]["F1"]
        assert figure["old"] == 0
        assert 0 < figure["interval"][0] <= figure["difference"] == figure["new"] <= figure["interval"][1]
    assert ComparisonAnswer.model_validate(kept).new.version == 2, "the server can read it"

    assert main(["compare", *map(str, reversed(pair)), *command]) == 3
    assert "1 is not better: its mean F1 differs by -" in capsys.readouterr().out
    assert main(["compare", str(pair[0]), str(pair[0]), *command]) == 1
    assert "both are" in capsys.readouterr().err


def test_a_bundle_that_does_not_list_its_photos_is_refused_unless_trusted(
    shipped_bundle, pair, photos, tmp_path
) -> None:
    unlisted = altered(shipped_bundle, tmp_path, version=3, trained=None)
    incomplete = altered(shipped_bundle, tmp_path, version=4, unlisted=["teeth 1 (sha256 abc)"])
    for bundle, name in ((unlisted, f"{shipped_bundle.name} 3"), (incomplete, "teeth 1 (sha256 abc)")):
        with pytest.raises(ComparisonError, match="--trust-unlisted") as refused:
            compare_bundles(pair[0], bundle, photos)
        assert str(refused.value).startswith(f"{name}: ")
        unseen = unseen_photos([pair[0], bundle], photos, trust_unlisted=True)
        assert (len(unseen.photos), unseen.left_out, unseen.unlisted) == (11, {Use.TRAINED: 1}, [name])


def test_too_few_photos_are_an_error(pair, photos) -> None:
    with pytest.raises(ComparisonError, match=r"9 of 11 photos are left .* \(1 trained, 1 calibrated\); 10 are needed"):
        compare_bundles(pair[0], pair[1], photos[:11])


def test_photos_without_caries_decide_nothing(pair, photos, monkeypatch) -> None:
    monkeypatch.setattr(head_to_head, "MIN_PHOTOS", 1)
    sound = [replace(photo, class_ids=photo.class_ids * 0 + 1) for photo in photos[2:4]]
    with pytest.raises(ComparisonError, match="no photo has a carious tooth"):
        compare_bundles(pair[0], pair[1], sound, resamples=5)


def pairs(**differences):
    return {
        source: {"F1": Pair(0.5, 0.5 + value, value, (value - spread, value + spread))}
        for source, (value, spread) in differences.items()
    }


@pytest.mark.parametrize(
    ("mean", "clinic", "is_better", "reason"),
    [
        ((0.1, 0.05), (0.1, 0.2), True, "differs by +0.100 [+0.050, +0.150], and no source is worse"),
        ((0.1, 0.1), (0.2, 0.1), False, "differs by +0.100 [+0.000, +0.200]"),
        ((0.1, 0.05), (-0.1, 0.2), True, "no source is worse"),
        ((0.1, 0.05), (-0.1, 0.05), False, "but on clinic it is worse"),
    ],
)
def test_better_is_a_higher_mean_without_a_worse_source(mean, clinic, is_better, reason) -> None:
    found, said = decide(pairs(clinic=clinic, public=(0.3, 0.1), mean=mean))
    assert found is is_better
    assert reason in said


def test_a_run_stands_for_its_bundle(pair, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "bundle").symlink_to(pair[0].parents[1])
    assert bundle_folder(tmp_path / "run").name == "2"
    with pytest.raises(DetectorError, match="has no bundle"):
        bundle_folder(tmp_path)
