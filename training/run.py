"""The whole way from annotated photos to a bundle, each step a function of its own module.

Every step looks for what an earlier call of the same command left, so a run that was killed is continued by starting it
again. What a run keeps where: `training.run_folder`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from app.detector.bundle import Bundle
from training.data.annotations import FOLDS, AnnotatedPhoto, AnnotationError, Source
from training.data.prepare import prepare, write_other_records, write_rendered_records
from training.machine import this_machine
from training.measure.assessment import assess, markdown
from training.measure.detectors import Detector
from training.measure.evaluate import (
    evaluate,
    figures_table,
    load_exported,
    look,
    match_screened,
    operating_point,
    predict,
)
from training.measure.out_of_fold import check_same_training, out_of_fold_evidence
from training.measure.plots import write_plots
from training.model.configure import configure, parse_pipeline
from training.model.model_runtime import ModelRuntime, load_checkpoint
from training.model.pretrained import fine_tune_source
from training.model.train import CHECKPOINT_EVERY, Schedule, train
from training.recipe import NO_PRETRAINED, Recipe
from training.release.export import SAVED_MODEL, export, find_checkpoint
from training.release.package import Evidence, package
from training.release.parity import compare
from training.release.tflite import FILES, can_be_converted, convert
from training.run_folder import RunError, RunFolder

BUNDLED = ("saved_model", "float32", "int8")
"""The models that a bundle holds, where the architecture reaches TFLite."""

SAW_THEM = "The detector was trained on these photos if they are of its data, which flatters it."


def run(
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    validation_fold: int | None = 0,
    version: int = 1,
    source: Source | None = None,
    cross_validation: Path | None = None,
) -> Bundle:
    """All steps, from annotated photos to a bundle.

    Args:
        data: annotated photos, see `training.data.annotations`.
        out: folder of the run. A run of the same recipe and data that was killed there is continued.
        recipe: what to train.
        validation_fold: this fold is held out, None holds out none; the others and the rendered photos are trained on.
        version: of the bundle.
        source: how to read the data.
        cross_validation: see `package_step`.

    Raises:
        RunError: `out` holds a run of another recipe or other data.
        CrossValidationError: it is of another recipe; nothing is trained then.
    """
    folder = RunFolder(out)
    if cross_validation is not None:
        check_same_training(cross_validation, recipe)
    prepare_step(data, folder, source)
    configure_step(folder, recipe, validation_fold=validation_fold)
    train_step(folder)
    export_step(folder)
    if can_be_converted(parse_pipeline(folder.pipeline_config.read_text(encoding="utf-8"))):
        tflite_step(folder)
    else:
        say(f"tflite    {recipe.architecture} does not reach it: the bundle holds the SavedModel alone")
    return package_step(folder, version=version, cross_validation=cross_validation)


def run_trial(records: Path, out: Path, recipe: Recipe, *, validation_fold: int) -> dict[str, float]:
    """Trains a recipe on records that several runs share, and measures it on the held-out fold.

    A training that was killed is continued.

    Returns:
        Figure name to value.

    Raises:
        RunError: no tooth is labelled on the held-out fold.
    """
    folder = RunFolder(out, shared_records=records)
    configure_step(folder, recipe, validation_fold=validation_fold)
    train_step(folder)
    photos = [photo for photo in folder.photos() if photo.fold == validation_fold]
    if not any(len(photo.class_ids) for photo in photos):
        raise RunError(f"no tooth is labelled on the photos of fold {validation_fold}: hold out another one")
    figures = evaluate(photos, predict(load_trained(folder), photos))
    _write(folder.evaluation, json.dumps({"checkpoint": figures}, indent=2) + "\n")
    return {name: figure["value"] for name, figure in figures["figures"].items() if figure["value"] is not None}


def load_trained(folder: RunFolder) -> ModelRuntime:
    """The detector of a run's latest checkpoint, not exported.

    Raises:
        CheckpointError, ExportError, RunError: there is none, or it is of another detector.
    """
    recipe, _ = folder.configured()
    checkpoint = find_checkpoint(folder.checkpoints)
    return load_checkpoint(folder.pipeline_config, checkpoint, multi_scale=recipe.multi_scale)


def prepare_step(data: Path, folder: RunFolder, source: Source | None = None) -> None:
    """Checks the data and writes the records."""
    say(f"prepare   {data}")
    existed = folder.path.exists()
    try:
        prepared = prepare(data, folder.records, source)
    except AnnotationError:
        if not existed and folder.path.exists():
            folder.path.rmdir()
        raise
    say(_indented(prepared.summary()))


def configure_step(folder: RunFolder, recipe: Recipe, *, validation_fold: int | None) -> None:
    """Writes `pipeline.config`, and what it refers to.

    Args:
        folder: holds records.
        recipe: what to train.
        validation_fold: this fold is held out; None trains on all.

    Raises:
        RunError: the records are missing, none is left to train on, or the folder holds a training by another recipe,
            with another fold held out, or of other photos, labels or folds.
    """
    records = [folder.records / f"fold_{fold}.tfrecord" for fold in range(FOLDS)]
    missing = [path.name for path in records if not path.exists()]
    if missing:
        raise RunError(f"{folder.records} lacks {', '.join(missing)}: run prepare first")
    train_records = [path for fold, path in enumerate(records) if fold != validation_fold]
    if recipe.rendered_photos:
        train_records.append(write_rendered_records(folder.records, recipe.rendered_photos))
    if recipe.other_pictures:
        train_records.append(write_other_records(folder.records, recipe.other_pictures))
    if not any(path.stat().st_size for path in train_records):
        raise RunError(f"all photos are in fold {validation_fold}, which is held out: none is left to train on")
    photos = folder.photos_sha256()
    state = {"recipe": recipe.as_dict(), "validation_fold": validation_fold, "photos_sha256": photos}
    if folder.checkpoints.exists() and folder.state.exists():
        if folder.configured() != (recipe, validation_fold):
            raise RunError(f"{folder.path} holds a training with another recipe or fold: choose another folder")
        folder.check_photos()
    folder.path.mkdir(parents=True, exist_ok=True)
    fine_tune = (
        fine_tune_source(recipe.pretrained, recipe.architecture, folder.path / "pretrained")
        if recipe.pretrained != NO_PRETRAINED
        else None
    )
    pipeline = configure(
        recipe,
        label_map=folder.records / "label_map.pbtxt",
        train_records=train_records,
        # The configuration has to name some; nothing is measured where none is held out.
        validation_records=records if validation_fold is None else [records[validation_fold]],
        fine_tune_checkpoint=fine_tune.prefix if fine_tune else None,
        fine_tune_checkpoint_type=fine_tune.type if fine_tune else "classification",
    )
    _write(folder.pipeline_config, pipeline)
    _write(folder.state, json.dumps(state, indent=2) + "\n")


def train_step(folder: RunFolder, *, checkpoint_every: int = CHECKPOINT_EVERY) -> None:
    """Trains, or continues, up to the recipe's number of steps or an early stop.

    Args:
        folder: configured.
        checkpoint_every: steps between two checkpoints, which is what a kill can cost.
    """
    recipe, validation_fold = folder.configured()
    say(f"train     {recipe.num_steps} steps of {recipe.batch_size} photos, checkpoints in {folder.checkpoints}")
    # A training on all photos has none to look at, which matters only if that could end it.
    is_evaluated = recipe.evaluate_every > 0 and (validation_fold is not None or recipe.early_stop_after > 0)
    evaluate_every = recipe.evaluate_every if is_evaluated else 0
    schedule = Schedule(recipe.seed, evaluate_every, recipe.early_stop_after, checkpoint_every)
    held_out = [photo for photo in folder.photos() if photo.fold == validation_fold] if is_evaluated else []
    if is_evaluated and not held_out:
        raise RunError(
            _nothing_held_out(validation_fold)
            if validation_fold is not None
            else "early_stop_after needs a fold that is held out: set it to 0 to train on all photos"
        )
    train(folder.pipeline_config, folder.checkpoints, schedule, augmentation=recipe.augmentation, validation=held_out)


def export_step(folder: RunFolder, *, checkpoint: str = "latest") -> None:
    """Exports a checkpoint, `latest` or `best`, as SavedModel."""
    recipe, _ = folder.configured()
    say(f"export    {folder.export / SAVED_MODEL}")
    folder.export.mkdir(parents=True, exist_ok=True)
    source = find_checkpoint(folder.checkpoints, checkpoint)
    export(folder.pipeline_config, source, folder.export / SAVED_MODEL, multi_scale=recipe.multi_scale)
    _write(folder.exported_checkpoint, checkpoint + "\n")


def tflite_step(folder: RunFolder, *, precisions: tuple[str, ...] = ("float32", "int8")) -> None:
    """Converts the exported checkpoint to TFLite; the int8 model is calibrated on photos of the training part."""
    recipe, validation_fold = folder.configured()
    if not folder.exported_checkpoint.exists():
        raise RunError(f"{folder.path} holds no SavedModel to compare with: run export first")
    checkpoint = folder.exported_checkpoint.read_text(encoding="utf-8").strip()
    say(f"tflite    {', '.join(str(folder.export / FILES[precision]) for precision in precisions)}")
    representative = [photo for photo in folder.photos() if photo.fold != validation_fold]
    source = find_checkpoint(folder.checkpoints, checkpoint)
    convert(
        folder.pipeline_config,
        source,
        folder.export,
        representative=representative,
        precisions=precisions,
        multi_scale=recipe.multi_scale,
    )


def exported_models(folder: RunFolder) -> tuple[str, ...]:
    """Which of `BUNDLED` were exported.

    Raises:
        RunError: none was.
    """
    files = {"saved_model": SAVED_MODEL, **FILES}
    found = tuple(model for model in BUNDLED if (folder.export / files[model]).exists())
    if not found:
        raise RunError(f"{folder.path} holds no exported models: run export first")
    return found


def evaluate_step(
    folder: RunFolder, *, models: tuple[str, ...] = ()
) -> tuple[list[AnnotatedPhoto], dict[str, Any], dict[str, dict[str, Any]]]:
    """Runs the exported models over the held-out photos, prints and writes their figures.

    Returns:
        The held-out photos, the detections of each model on them, and its figures.
    """
    models = models or exported_models(folder)
    recipe, validation_fold = folder.configured()
    photos = [photo for photo in folder.photos() if photo.fold == validation_fold]
    if not photos:
        raise RunError(_nothing_held_out(validation_fold))
    say(f"evaluate  {len(photos)} photos of fold {validation_fold}")
    predictions = {
        model: predict(load_exported(folder.export, model, recipe.input_size), photos, name=model) for model in models
    }
    evaluations = {model: evaluate(photos, found) for model, found in predictions.items()}
    _write(folder.evaluation, json.dumps(evaluations, indent=2) + "\n")
    print(figures_table(evaluations))
    return photos, predictions, evaluations


def assess_step(
    detector: Detector,
    photos: list[AnnotatedPhoto],
    out: Path,
    *,
    fold: str,
    threshold: float | None = None,
    was_trained_on: bool = False,
) -> str:
    """Measures any detector on photos, writes `evaluation.json`, `evaluation.md` and plots to the folder `out`.

    Args:
        detector: what to measure.
        photos: on what.
        out: made if missing.
        fold: what the photos are: a number, or `all`.
        threshold: of the screened class; the detector's operating point, or else the highest F1's, if None.
        was_trained_on: whether the detector's training saw this fold, see `saw_fold`.

    Returns:
        The text of `evaluation.md`.
    """
    if threshold is None and detector.has_operating_point:
        threshold = detector.bundle.operating_point.score_threshold
    found = [detector.bundle.calibrated(item) for item in predict(detector.load(), photos)]
    assessment = assess(photos, found, score_threshold=threshold)
    boxes = sum(len(photo.class_ids) for photo in photos)
    heading = [
        f"# {detector}",
        "",
        f"{len(photos)} photos of {'all folds' if fold == 'all' else f'fold {fold}'}, {boxes} boxes; {this_machine()}.",
    ]
    if fold == "all":
        heading.append("The detector may have been trained on some of them, which flatters it.")
    elif was_trained_on:
        heading.append(SAW_THEM)
    if threshold is None:
        heading.append("The score threshold was chosen on these same photos, which flatters the figures at it.")
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(assessment, "\n".join(heading))
    _write(out / "evaluation.md", text)
    _write(out / "evaluation.json", json.dumps(assessment.as_dict(), indent=2) + "\n")
    write_plots(assessment, out)
    return text


def package_step(folder: RunFolder, *, version: int, cross_validation: Path | None = None) -> Bundle:
    """Checks the exported models' parity and writes the bundle.

    Args:
        folder: holds exported models.
        version: of the bundle.
        cross_validation: folder of a cross-validation of the same recipe, from which figures, calibration and operating
            point come; without it they come from the held-out fold, and scores stay as the detector gives them.

    Raises:
        RunError: no fold was held out and no cross-validation given, or it is of another recipe.
    """
    recipe, validation_fold = folder.configured()
    photos = folder.photos()
    trained_at = int(folder.trained_at.read_text(encoding="utf-8")) if folder.trained_at.exists() else None
    if cross_validation is None:
        compared, predictions, evaluations = evaluate_step(folder)
        score_threshold, counts = operating_point(compared, match_screened(compared, predictions["saved_model"]))
        evidence = Evidence(
            measured_on=f"fold {validation_fold}, {len(compared)} photos that the detector was not trained on",
            evaluations=evaluations,
            score_threshold=score_threshold,
            cross_fitted=counts,
            training_photos=len(photos) - len(compared),
        )
    else:
        evidence = out_of_fold_evidence(
            cross_validation,
            recipe,
            [photo for photo in photos if photo.fold != validation_fold],
            trained_input_size=trained_at,
        )
        compared = photos
    # Before sizes are fused: of equal scores, suppression may keep either, which moves the mean of a tooth's boxes.
    looks = {
        model: look(load_exported(folder.export, model, recipe.input_size), compared, name=model)
        for model in exported_models(folder)
    }
    bundle = package(
        folder.export,
        folder.bundles,
        version=version,
        recipe=recipe,
        photos=photos,
        evidence=evidence,
        held_out_fold=validation_fold,
        parity={name: compare(looks["saved_model"], found) for name, found in looks.items() if name in FILES},
        checkpoint=folder.exported_checkpoint.read_text(encoding="utf-8").strip(),
        trained_input_size=trained_at,
    )
    say(f"package   {bundle.path}")
    return bundle


def saw_fold(model: Path, bundle: Bundle, fold: int) -> bool:
    """Whether a detector's training saw this fold of its data, as far as its run or its bundle tells.

    Args:
        model: where the detector lies: a run, or a checkpoint, export or bundle in the folder of one.
        bundle: it, or what stands for it.
        fold: number.
    """
    folder = RunFolder.trained(model)
    return bundle_saw_fold(bundle, fold) if folder is None else folder.configured()[1] != fold


def bundle_saw_fold(bundle: Bundle, fold: int) -> bool:
    """Whether the bundle says that its training saw this fold of its data; older ones say only if it saw all."""
    data = bundle.manifest.get("data", {})
    if "held_out_fold" in data:
        return bool(data["held_out_fold"] != fold)
    return trained_on_all(bundle)


def trained_on_all(bundle: Bundle) -> bool:
    """Whether the bundle says that its training held out no photo."""
    data = bundle.manifest.get("data", {})
    return "photos" in data and data["photos"] == data["training_photos"]


def check_held_out(bundle: Bundle, fold: int) -> None:
    """Raises RunError where the bundle says that its training saw this fold."""
    if trained_on_all(bundle):
        raise RunError(
            f"{bundle.path} was trained on all {bundle.manifest['data']['photos']} photos, fold {fold} too, so none is "
            "left to measure it on: package it from its run, with a cross-validation"
        )
    if bundle_saw_fold(bundle, fold):
        raise RunError(
            f"{bundle.path} was trained on fold {fold}: its training held out fold "
            f"{bundle.manifest['data']['held_out_fold']}"
        )


def _nothing_held_out(validation_fold: int | None) -> str:
    if validation_fold is None:
        return (
            "the training sees all photos, so none is left to evaluate on: give a cross-validation of the same recipe"
        )
    return f"fold {validation_fold} holds no photo to evaluate on: hold out another one"


def say(line: str) -> None:
    """Tells a person what is going on, on the error stream, so that results can be piped."""
    print(line, file=sys.stderr, flush=True)


def _indented(text: str) -> str:
    return "\n".join(" " * 10 + line for line in text.splitlines())


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
