"""Runs the detectors and the classifiers of the folds over their photos and says what each opinion is worth.

Written to the folder:

    fold_N/whole.npz, fold_N/VIEW_0.npz ...    what the detector saw of the photos and of each view of them
    fold_N/at_SIZE.npz                         the same weights at other input sizes
    fold_N/seen.json                           by which detector, and on which photos
    rescored.md                                the table
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from tqdm import tqdm

from app import images
from app.detections import Detections
from app.runtimes import Runtime
from training.annotations import AnnotatedPhoto
from training.cross_validation import fold_folder
from training.detectors import DetectorError, find_detector
from training.multi_scale import Sizes, sizes_text
from training.predictions import load_predictions, save_predictions
from training.run import SAW_THEM, saw_fold
from training.saved_photos import photos_sha256
from training.second_look.classifier import Look
from training.second_look.end_to_end import BASE, compare, parts_of, table
from training.second_look.enlarged import load_enlarged
from training.second_look.folds import load_fold, look
from training.second_look.fusion import Floats, SeenTeeth, classifier_logits, cross_fitted, other_teeth
from training.second_look.views import VIEWS, View, detect_view, view_logits

WHOLE = View()


def rescore(
    photos: Sequence[AnnotatedPhoto],
    out: Path,
    *,
    model: Path | None,
    which: str = "float32",
    cross_validation: Path | None = None,
    second_look: Path | None = None,
    views: Sequence[str] = (),
    input_sizes: Sequence[Sizes] = (),
    resamples: int = 1000,
) -> str:
    """The table of `training.second_look.end_to_end`, also written.

    Args:
        photos: of one fold or several.
        out: made if missing. What this detector detected there is not detected again.
        model: a detector that saw none of these photos in training; None for those of a cross-validation.
        which: model of a bundle.
        cross_validation: its folder; each photo is seen by the detector that was trained without its fold.
        second_look: folder of the classifiers, see `training.second_look.folds`.
        views: names of `VIEWS`; each is an opinion, and all together are another.
        input_sizes: the same weights at these are an opinion each, and a detector of their own.
        resamples: of the bootstrap.

    Raises:
        DetectorError: `out` holds what another detector saw, or what was seen on other photos.
    """
    notes: dict[str, None] = {}
    seen: list[SeenTeeth] = []
    judged: list[AnnotatedPhoto] = []
    detections: list[Detections] = []
    enlarged: dict[str, list[Detections]] = {sizes_text(sizes): [] for sizes in input_sizes}
    for fold in sorted({photo.fold for photo in photos}):
        of_fold = [photo for photo in photos if photo.fold == fold]
        folder = out / f"fold_{fold}"
        path = model if cross_validation is None else fold_folder(cross_validation, fold).path
        assert path is not None
        detector = find_detector(path, model=which)
        _keep_apart(folder / "seen.json", {"detector": str(detector), "model": which, "photos": photos_sha256(of_fold)})
        if saw_fold(path, detector.bundle, fold):
            notes[SAW_THEM] = None
        load = cache(detector.load)
        whole = _detected(load, of_fold, WHOLE, folder / "whole.npz")
        of_views = {
            name: [
                _detected(load, of_fold, view, folder / f"{name.replace(' ', '_')}_{number}.npz")
                for number, view in enumerate(VIEWS[name])
            ]
            for name in views
        }
        at_sizes = {
            size: _detected(partial(load_enlarged, path, sizes), of_fold, WHOLE, folder / f"at_{size}.npz")
            for size, sizes in zip(enlarged, input_sizes, strict=True)
        }
        looks = None if second_look is None else _looks(second_look, fold)
        for place, photo in enumerate(of_fold):
            tooth = SeenTeeth.of(whole[place])
            opinions = {"other teeth": other_teeth(tooth)}
            by_view = {name: [found[place] for found in every] for name, every in of_views.items()}
            if len(views) > 1:
                by_view[" + ".join(views)] = [found for every in by_view.values() for found in every]
            by_view |= {f"{size} px": [found[place]] for size, found in at_sizes.items()}
            for name, found in by_view.items():
                opinions[name] = view_logits(tooth.boxes, tooth.scores, found)
            if looks is not None:
                opinions["classifier"] = looks(photo, tooth)
            seen.append(replace(tooth, opinions=opinions))
        judged += of_fold
        detections += whole
        for size, found in at_sizes.items():
            enlarged[size] += found
    boxes = sum(len(item.boxes) for item in seen) / len(seen)
    scored = compare(judged, detections, seen)
    for size, found in enlarged.items():
        scored[f"at {size} px alone"] = found
        if BASE in scored:
            alone = [SeenTeeth.of(item) for item in found]
            scored[f"at {size} px alone, calibrated"] = cross_fitted(judged, alone, [], parts_of(judged))
    heading = "\n".join([f"{len(judged)} photos, {boxes:.1f} boxes on each.", *notes])
    text = f"{heading}\n\n{table(judged, scored, resamples=resamples)}"
    (out / "rescored.md").write_text(text, encoding="utf-8")
    return text


def _keep_apart(path: Path, asked: dict[str, str]) -> None:
    """Writes what the folder of this file is about, or raises DetectorError where it is about something else."""
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != asked:
            raise DetectorError(
                f"{path.parent} holds what another detector saw, or on other photos: choose another folder"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")


def _detected(
    load: Callable[[], Runtime], photos: Sequence[AnnotatedPhoto], view: View, path: Path
) -> list[Detections]:
    """What the detector sees of a view of each photo; kept in a file."""
    if not path.exists():
        runtime = load()
        save_predictions(
            {
                photo.path.name: detect_view(runtime, images.decode(photo.path.read_bytes()).pixels, view)
                for photo in tqdm(photos, desc=path.stem, unit="photo", leave=False)
            },
            path,
        )
    found = load_predictions(path)
    return [found[photo.path.name] for photo in photos]


def _looks(folder: Path, fold: int) -> Callable[[AnnotatedPhoto, SeenTeeth], Floats]:
    classifier, recipe = load_fold(folder, fold)
    at_work = partial(look, Look(classifier), recipe=recipe)
    return lambda photo, tooth: classifier_logits(at_work(photo, tooth.boxes))
