"""A bundle measured anew, and packaged as another version: where the code around its models has changed since."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from app.detector.bundle import Bundle
from training.data.source import Source
from training.recipe import Recipe
from training.release.tflite import FILES, set_nms_score_threshold
from training.run import check_held_out, configure_step, package_step, prepare_step
from training.run_folder import RunFolder


def repackage(
    bundle: Bundle,
    data: Path,
    folder: RunFolder,
    *,
    validation_fold: int,
    version: int,
    nms_score_threshold: float | None = None,
    source: Source | None = None,
) -> Bundle:
    """Evaluates a bundle's models as they are, compares them, and writes figures, operating point and card anew.

    The weights stay what they are. The SavedModel keeps its own suppression.

    Args:
        bundle: verified.
        data: the annotated photos that it was trained on and measured on.
        folder: of a run, which is made for it.
        validation_fold: the fold that its training held out.
        version: of the bundle that is written to `folder.bundles`.
        nms_score_threshold: the lowest score of the boxes that the TFLite models return; None leaves it.
        source: how to read the data.

    Raises:
        AnnotationError: the data has problems.
        RunError: the fold holds no photo, the folder another run, or the bundle's training saw the fold.
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
    folder.exported_checkpoint.write_text(bundle.manifest.get("checkpoint", "latest") + "\n", encoding="utf-8")
    return package_step(folder, version=version)
