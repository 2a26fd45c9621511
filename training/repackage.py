"""Measure a bundle again and package it as another version, after the code around its models has changed."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.detector.bundle import Bundle
from training.data.source import Source
from training.measure.held_out import check_held_out
from training.recipe import Recipe
from training.release.tflite import FILES, set_nms_score_threshold
from training.run import configure_step, package_step, prepare_step
from training.run_folder import RunFolder


def repackage(
    bundle: Bundle,
    data: Sequence[Path],
    folder: RunFolder,
    *,
    validation_fold: int,
    version: int,
    nms_score_threshold: float | None = None,
    source: Source | None = None,
    replaces: Sequence[str] = (),
) -> Bundle:
    """Evaluate and compare a bundle's models on the photos that it was trained and measured on, and write figures,
    operating point and card again, as a bundle in `folder.bundles`.

    The weights do not change, and the SavedModel keeps its own suppression; the TFLite models return boxes from
    `nms_score_threshold` on, None leaves it as it is. `replaces` names the models that the bundle replaces.

    Raises:
        AnnotationError: the data has problems.
        RunError: the fold has no photo, the folder has another run, or the bundle was trained on the fold.
        ParityError: the float32 TFLite model differs from the SavedModel by more than rounding.
    """
    check_held_out(bundle, validation_fold)
    recipe = Recipe.from_dict(bundle.manifest["recipe"])
    if nms_score_threshold is not None:
        recipe = replace(recipe, nms_score_threshold=nms_score_threshold)
    prepare_step(data, folder, source)
    configure_step(folder, recipe, validation_fold=validation_fold)
    shutil.rmtree(folder.export, ignore_errors=True)
    saved_model = folder.export / "saved_model"
    saved_model.mkdir(parents=True)
    shutil.copy(bundle.path / "saved_model.pb", saved_model)
    shutil.copytree(bundle.path / "variables", saved_model / "variables")
    for name in FILES.values():
        if not (bundle.path / name).exists():
            continue
        shutil.copy(bundle.path / name, folder.export)
        if nms_score_threshold is not None:
            set_nms_score_threshold(folder.export / name, nms_score_threshold)
    if (trained_at := bundle.manifest.get("trained_input_size")) is not None:
        folder.trained_at.write_text(f"{trained_at}\n", encoding="utf-8")
    folder.weights_of.write_text(f"{bundle.path.resolve()}\n", encoding="utf-8")
    folder.exported_checkpoint.write_text(bundle.manifest.get("checkpoint", "latest") + "\n", encoding="utf-8")
    return package_step(folder, version=version, replaces=replaces)
