"""Reviewed photos to the next bundle, installed if it is better: export, split, train, compare, install.

start.json          the bundle that the training starts from
reviews/            the reviewed photos: training/ and, of one fold, test/
run/                the training
comparison.json     the new bundle against that one

A photo keeps its fold in later exports, so those of the test are never trained on. Rerunning resumes.
"""

import csv
import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from app.detector.bundle import Bundle, find_bundle, read_bundle
from app.reviews import require_extra
from app.settings import StoreLocation
from training.data.annotations import FOLDS, AnnotatedPhoto, Source
from training.data.data_sets import DESCRIPTION
from training.data.pooling import read_sets
from training.data.source import PartialLabels, ToothDetector
from training.measure.detectors import find_detector
from training.measure.head_to_head import bundle_folder, unseen_photos
from training.measure.metrics import RESAMPLES
from training.model.pretrained.start import find_start
from training.output import write_file
from training.recipe import Recipe
from training.release.install import install
from training.release.succession import install_if_better
from training.run import run, say
from training.run_folder import RunError

TEST_FOLD = FOLDS - 1
"""Of the reviewed photos; fold 0 calibrates."""

PARTS = {"training": [fold for fold in range(FOLDS) if fold != TEST_FOLD], "test": [TEST_FOLD]}


def start_bundle(store: Path, out: Path, model: str | None = None) -> Bundle:
    """The bundle that the training starts from: the model's newest in the store when `out` was begun. Raises RunError:
    `out` was begun with another bundle; UnknownModel: the store does not have it."""
    begun = out / "start.json"
    if not begun.exists():
        bundle = read_bundle(find_bundle(store, model))
        out.mkdir(parents=True, exist_ok=True)
        identity = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
        write_file(begun, json.dumps(identity) + "\n")
    identity = json.loads(begun.read_text(encoding="utf-8"))
    bundle = read_bundle(find_bundle(store, identity["name"], identity["version"]))
    if bundle.sha256 != identity["sha256"] or model not in (None, bundle.name):
        raise RunError(f"{out} was begun with another bundle of {store}: choose another folder")
    return bundle


def improve(
    reviews: StoreLocation,
    store: Path,
    out: Path,
    start: Bundle,
    recipe: Recipe,
    *,
    data: Sequence[Path] = (),
    test: Sequence[Path] = (),
    source: Source | None = None,
    trust_unlisted: bool = False,
    resamples: int = RESAMPLES,
) -> bool:
    """Train the next version of the start bundle, and install it in the store if it is better; return whether it is.

    Args:
        reviews: the review store.
        out: folder of the files of the module.
        start: see `start_bundle`; its weights start the training, and it finds the teeth without a label unless the
            source says how to treat them.
        data: further photos to train on.
        test: further photos to compare on.
        trust_unlisted: see `training.measure.head_to_head.compare_bundles`.

    Raises:
        CariesError: the review store cannot be read.
        ComparisonError: too few photos are reviewed to compare on; nothing is trained.
        TrainingError: see `training.run.run`.
    """
    finished = out / "comparison.json"
    if finished.exists():
        kept = json.loads(finished.read_text(encoding="utf-8"))
        new = kept["new"]
        if kept["is_better"] and not (store / new["name"] / str(new["version"])).exists():
            # The comparison is written before the bundle is installed; an interruption may have come in between.
            install(bundle_folder(out / "run"), store)
        say(f"improve   finished earlier: {kept['reason']}")
        return bool(kept["is_better"])
    source = source or Source()
    if source.teeth_from is None and source.partial_labels is PartialLabels.REFUSE:
        finder = find_detector(start.path)
        source = replace(source, teeth_from=ToothDetector(start.name, start.sha256, finder.load, start.path))
    export_reviews(reviews, out / "reviews")
    photos = _test_photos([out / "reviews" / "test", *test], out, source)
    # Before hours of training. The next bundle lists the photos that the start bundle has seen, too.
    unseen_photos([start.path], photos, trust_unlisted=trust_unlisted)
    bundle = run(
        [out / "reviews" / "training", *data],
        out / "run",
        replace(recipe, model_name=start.name),
        version=start.version + 1,
        source=source,
        start=find_start(start.path),
    )
    say(f"compare   {len(photos)} photos")
    comparison = install_if_better(
        bundle.path, store, photos, out=finished, trust_unlisted=trust_unlisted, resamples=resamples
    )
    print(comparison.as_text(), end="")
    say(f"improve   {'installed' if comparison.is_better else 'refused'}: {bundle.name} {bundle.version}")
    return comparison.is_better


def export_reviews(reviews: StoreLocation, out: Path) -> None:
    """Export the reviewed photos in `PARTS`, unless they are there. Raises CariesError: the store cannot be read."""
    if out.exists():
        return
    require_extra()
    from app.reviews.export import export
    from app.reviews.store import ReviewStore

    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with closing(ReviewStore(reviews, create=False)) as opened:
        number = export(opened, partial / "all")
    with (partial / "all" / "folds.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for part, folds in PARTS.items():
        chosen = [row for row in rows if int(row["fold"]) in folds]
        for name in ("img_train", "json_train"):
            (partial / part / name).mkdir(parents=True)
        for row in chosen:
            image = Path(row["image"])
            for name in (f"img_train/{image}", f"json_train/{image.stem}.json"):
                (partial / "all" / name).rename(partial / part / name)
        with (partial / part / "folds.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ("image", "group", "fold"), lineterminator="\n")
            table.writeheader()
            table.writerows(chosen)
        shutil.copy(partial / "all" / DESCRIPTION, partial / part)
        say(f"export    {len(chosen)} of {number} reviewed photos for {part}")
    shutil.rmtree(partial / "all")
    partial.rename(out)


def _test_photos(sets: Sequence[Path], out: Path, source: Source) -> list[AnnotatedPhoto]:
    """The photos to compare on; of the reviewed ones there may be none."""
    used = sets if any((sets[0] / "img_train").iterdir()) else sets[1:]
    return read_sets(used, replace(source, unpack_to=out / "unpacked")).photos if used else []
