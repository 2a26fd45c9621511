"""Every tooth judged once, by a classifier that saw none of its group.

The folder:

    fold_0/ ... fold_4/    recipe.json   what was trained
                           weights.npz   the classifier that was trained without the fold
                           teeth.npz     its probabilities of the fold's labelled teeth
                           seconds.json  what the training took
    figures.md             how often the class is right, over all these folds
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.detections import Detections
from training.annotations import CLASS_IDS, AnnotatedPhoto
from training.errors import TrainingError
from training.evaluate import SCREENED_CLASS
from training.second_look.classifier import Classifier, Look, augmented_views, build, load_weights, save_weights, train
from training.second_look.opinions import Floats, caries_among_teeth, class_figures, detector_opinion
from training.second_look.recipe import SecondLookRecipe
from training.second_look.teeth import CLASSES, cut_canvases, cut_teeth, middle

RECIPE, WEIGHTS, TEETH, SECONDS = "recipe.json", "weights.npz", "teeth.npz", "seconds.json"


class FoldError(TrainingError):
    """A fold was trained by another recipe, or not at all."""


def train_folds(folder: Path, photos: Sequence[AnnotatedPhoto], recipe: SecondLookRecipe, folds: Sequence[int]) -> None:
    """Trains without each fold and predicts the classes of its teeth; does nothing twice.

    Args:
        folder: of all folds.
        photos: of all folds.
        recipe: what to train.
        folds: which are held out in turn.

    Raises:
        FoldError: a fold was trained by another recipe.
    """
    missing = [fold for fold in folds if not (folder / f"fold_{fold}" / TEETH).exists()]
    for fold in set(folds) - set(missing):
        if read_recipe(folder, fold) != recipe:
            raise FoldError(f"{folder / f'fold_{fold}'} holds a training by another recipe: choose another folder")
    if not missing:
        return
    started = time.monotonic()
    teeth = cut_teeth(photos, recipe)
    views = augmented_views(build(recipe), teeth.canvases, recipe)
    shared = (time.monotonic() - started) / len(missing)
    fold_of = np.array([photo.fold for photo in photos])[teeth.photos]
    for fold in missing:
        started = time.monotonic()
        classifier = build(recipe)
        train(classifier, views, teeth.labels, np.flatnonzero(fold_of != fold), recipe)
        held_out = [photo for photo in photos if photo.fold == fold]
        at_work = Look(classifier)
        found = [look(at_work, photo, photo.boxes, recipe) for photo in held_out]
        out = folder / f"fold_{fold}"
        out.mkdir(parents=True, exist_ok=True)
        (out / RECIPE).write_text(json.dumps(recipe.as_dict(), indent=2) + "\n", encoding="utf-8")
        (out / SECONDS).write_text(json.dumps(round(shared + time.monotonic() - started)) + "\n", encoding="utf-8")
        save_weights(classifier, out / WEIGHTS)
        save_looks(held_out, found, out / TEETH)


def look(
    at_work: Look,
    photo: AnnotatedPhoto,
    boxes: npt.NDArray[np.float32],
    recipe: SecondLookRecipe,
    *,
    mirror: bool = True,
) -> Floats:
    """The classifier's probabilities of the classes of boxes `[n, 4]` on a photo, float64 `[n, classes]`."""
    return at_work.at(middle(cut_canvases(photo, boxes, recipe), recipe.crop_size), mirror=mirror)


def load_fold(folder: Path, fold: int) -> tuple[Classifier, SecondLookRecipe]:
    """The classifier that was trained without a fold, and its recipe.

    Raises:
        FoldError: there is none.
    """
    recipe = read_recipe(folder, fold)
    classifier = build(recipe)
    load_weights(classifier, folder / f"fold_{fold}" / WEIGHTS)
    return classifier, recipe


def read_recipe(folder: Path, fold: int) -> SecondLookRecipe:
    """What a fold was trained by.

    Raises:
        FoldError: it has not been trained.
    """
    path = folder / f"fold_{fold}" / RECIPE
    if not path.exists():
        raise FoldError(f"{path.parent} holds no {path.name}: the fold has not been trained")
    return SecondLookRecipe.of_values(json.loads(path.read_text(encoding="utf-8")))


def save_looks(photos: Sequence[AnnotatedPhoto], looks: Sequence[Floats], path: Path) -> None:
    """Writes probabilities, photo by photo `[n, classes]`, under the photos' file names."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **{photo.path.name: item for photo, item in zip(photos, looks, strict=True)})  # type: ignore[arg-type]
    partial.replace(path)


def read_looks(path: Path, photos: Sequence[AnnotatedPhoto]) -> list[Floats]:
    """What `save_looks` wrote of these photos."""
    with np.load(path) as file:
        return [file[photo.path.name] for photo in photos]


def assess_folds(
    folder: Path,
    photos: Sequence[AnnotatedPhoto],
    folds: Sequence[int],
    detections: Sequence[Detections] | None = None,
) -> str:
    """How often the classifiers are right about the labelled teeth of their held-out folds; a table, also written.

    Args:
        folder: of all folds.
        photos: of all folds.
        folds: every one of them has been trained.
        detections: what detectors saw on the photos of these folds; then only the teeth that they found count, and
            their own opinion stands beside the classifier's.
    """
    judged = [photo for fold in folds for photo in photos if photo.fold == fold]
    looks = [
        found
        for fold in folds
        for found in read_looks(folder / f"fold_{fold}" / TEETH, [photo for photo in photos if photo.fold == fold])
    ]
    labels = [photo.class_ids == CLASS_IDS[SCREENED_CLASS] for photo in judged]
    second = [caries_among_teeth(item) - 0.5 for item in looks]
    opinions = {"second look": second}
    if detections is not None:
        first = [detector_opinion(photo, found) for photo, found in zip(judged, detections, strict=True)]
        on_found = [np.where(np.isnan(a), np.nan, b) for a, b in zip(first, second, strict=True)]
        opinions |= {"second look, teeth that the detector found": on_found, "detector": first}
    minutes = sum(json.loads((folder / f"fold_{fold}" / SECONDS).read_text("utf-8")) for fold in folds) / 60
    rows = [
        f"{read_recipe(folder, folds[0]).model_name}: {len(judged)} photos of the folds {', '.join(map(str, folds))}, "
        f"{minutes:.1f} minutes.",
        "",
        "| opinion | teeth | class right | caries right | normal right | AUC |",
        "|---|---|---|---|---|---|",
    ]
    for name, opinion in opinions.items():
        count = sum(int((~np.isnan(item)).sum()) for item in opinion)
        cells = [
            "-" if value is None or span is None else f"{value:.3f} [{span[0]:.3f}, {span[1]:.3f}]"
            for value, span in class_figures(opinion, labels, threshold=0.0).values()
        ]
        rows.append(f"| {name} | {count} | " + " | ".join(cells) + " |")
    background = [item[:, len(CLASS_IDS)] for item in looks if item.shape[1] == len(CLASSES)]
    if background:
        rows += ["", f"Labelled teeth taken for none: {np.mean(np.concatenate(background) > 0.5):.3f}"]
    text = "\n".join(rows) + "\n"
    (folder / "figures.md").write_text(text, encoding="utf-8")
    return text
