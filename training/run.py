"""One training, from annotated photos to a bundle: prepare, configure, train, export, convert, evaluate, package.

Each step reads what the earlier ones wrote to the run's folder (`training.run_folder`), so rerunning the command
resumes an interrupted run.
"""

import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from app.detector.bundle import Bundle
from training.data.annotations import AnnotatedPhoto, AnnotationError, Source
from training.data.prepare import PHOTOS, prepare
from training.data.records import record_files, write_other_records, write_part, write_rendered_records
from training.data.sampling import describe_sets, effective_sampling, training_part
from training.data.saved_photos import load_photos
from training.measure.coco import validation_figures
from training.measure.evidence import Evidence, check_same_training, held_out_evidence, out_of_fold_evidence
from training.measure.held_out import seen_by_run
from training.measure.predictions import MODELS, load_exported, predict, predict_by_size
from training.measure.report import figures_table
from training.model.augmentation import Augmentation
from training.model.checkpoints import find_checkpoint
from training.model.configure import configure, parse_pipeline
from training.model.pretrained.restore import fine_tune_source
from training.model.pretrained.start import Start
from training.model.train import CHECKPOINT_EVERY, Schedule, train
from training.model.validation import Validation
from training.output import write_file
from training.recipe import NO_PRETRAINED, Recipe
from training.release.export import SAVED_MODEL, export
from training.release.package import package
from training.release.parity import compare
from training.release.tflite import FILES, can_be_converted, convert
from training.run_folder import RunError, RunFolder


def run(
    data: Sequence[Path],
    out: Path,
    recipe: Recipe,
    *,
    validation_fold: int | None = 0,
    version: int = 1,
    source: Source | None = None,
    start: Start | None = None,
    cross_validation: Path | None = None,
) -> Bundle:
    """All steps, from annotated photos to a bundle; a `validation_fold` of None trains on all folds; the weights start
    from the recipe's pretrained ones unless `start` names others.

    Raises:
        RunError: `out` has a run of another recipe or other data.
        CrossValidationError: the cross-validation is of another recipe; nothing is trained.
    """
    folder = RunFolder(out)
    if cross_validation is not None:
        check_same_training(cross_validation, recipe)
    prepare_step(data, folder, source)
    configure_step(folder, recipe, validation_fold=validation_fold, start=start)
    train_step(folder)
    export_step(folder)
    if can_be_converted(parse_pipeline(folder.pipeline_config.read_text(encoding="utf-8"))):
        tflite_step(folder)
    else:
        say(f"tflite    skipped: {recipe.architecture} cannot be converted, so the bundle has the SavedModel alone")
    return package_step(folder, version=version, cross_validation=cross_validation)


def prepare_step(data: Sequence[Path], folder: RunFolder, source: Source | None = None) -> None:
    """Check the data and write the records."""
    say(f"prepare   {', '.join(map(str, data))}")
    existed = folder.path.exists()
    try:
        summary = prepare(data, folder.records, source)
    except AnnotationError:
        if not existed and folder.path.exists():
            folder.path.rmdir()
        raise
    say(textwrap.indent(summary, " " * 10))


def configure_step(
    folder: RunFolder, recipe: Recipe, *, validation_fold: int | None, start: Start | None = None
) -> None:
    """Write `pipeline.config` and the files that it refers to; a `validation_fold` of None trains on all folds; the
    weights start from the recipe's pretrained ones unless `start` names others.

    The configuration lists the records of a data set as often as its photos are drawn in an epoch.

    Raises:
        RunError: the records are missing, none is left to train on, or the folder has a training of another recipe,
            held-out fold, weights of data sets, unlabelled teeth, initial weights, photos, labels or folds.
        CheckpointError: the start is a detector of another architecture.
    """
    data_sets = folder.data_sets()
    by_set = record_files(folder.records, data_sets)
    records = [path for paths in by_set.values() for path in paths]
    missing = [path.name for path in records if not path.exists()]
    if missing:
        raise RunError(f"{folder.records} has no {', '.join(missing)}: run prepare first")
    for name in sorted(recipe.sampling.keys() - by_set.keys()):
        say(f"configure the recipe's sampling names {name}, which is not one of the data sets: {', '.join(by_set)}")
    sampling = effective_sampling(data_sets, recipe.sampling)
    train_records = [
        path
        for name, paths in by_set.items()
        for _ in range(sampling.get(name, 1))
        for fold, path in enumerate(paths)
        if fold != validation_fold
    ]
    if recipe.training_share < 1:
        train_records = _share_of(train_records, folder, recipe, validation_fold)
    if recipe.rendered_photos:
        train_records.append(write_rendered_records(folder.records, recipe.rendered_photos))
    if recipe.other_pictures:
        train_records.append(write_other_records(folder.records, recipe.other_pictures))
    if not any(path.stat().st_size for path in train_records):
        raise RunError(
            f"all photos are in fold {validation_fold}, which is held out, or in data sets of sampling 0: none is left "
            "to train on"
        )
    state = {
        "recipe": recipe.as_dict(),
        "validation_fold": validation_fold,
        "photos_sha256": folder.photos_sha256(),
        "sampling": sampling,
        "teeth_from": folder.teeth_from(),
        "started_from": start.as_dict() if start else None,
        "started_from_place": str(start.weights.resolve()) if start else None,
    }
    if folder.checkpoints.exists() and folder.state.exists():
        if folder.configured() != (recipe, validation_fold):
            raise RunError(f"{folder.path} has a training of another recipe or fold: choose another folder")
        check_same_input(folder, recipe, start)
    folder.path.mkdir(parents=True, exist_ok=True)
    fine_tune = None
    if start:
        fine_tune = start.fine_tune(recipe, folder.path / "pretrained" / "start")
    elif recipe.pretrained != NO_PRETRAINED:
        fine_tune = fine_tune_source(recipe.pretrained, recipe.architecture, folder.path / "pretrained")
    pipeline = configure(
        recipe,
        label_map=folder.records / "label_map.pbtxt",
        train_records=train_records,
        # The configuration must name some records; without a held-out fold they are not evaluated.
        validation_records=[
            path for paths in by_set.values() for fold, path in enumerate(paths) if validation_fold in (None, fold)
        ],
        fine_tune_checkpoint=fine_tune.prefix if fine_tune else None,
        fine_tune_checkpoint_type=fine_tune.type if fine_tune else "classification",
    )
    write_file(folder.pipeline_config, pipeline)
    write_file(folder.state, json.dumps(state, indent=2) + "\n")


def check_same_input(folder: RunFolder, recipe: Recipe, start: Start | None) -> None:
    """Raise RunError if the run trained on other photos, labels, folds, unlabelled teeth or weights of data sets than
    prepared, or started from other weights."""
    folder.check_photos()
    if folder.recorded("started_from") != (start.as_dict() if start else None):
        raise RunError(f"{folder.path} has a training that started from other weights: choose another folder")
    if folder.recorded("teeth_from") != folder.teeth_from():
        raise RunError(f"{folder.path} has a training with other unlabelled teeth: choose another folder")
    sampling = effective_sampling(folder.data_sets(), recipe.sampling)
    if folder.recorded("sampling", sampling) != sampling:
        raise RunError(f"{folder.path} has a training with other weights of the data sets: choose another folder")


def train_step(folder: RunFolder, *, checkpoint_every: int = CHECKPOINT_EVERY) -> None:
    """Train, or resume, to the recipe's number of steps or an early stop. An interruption loses at most the
    `checkpoint_every` steps between two checkpoints."""
    recipe, validation_fold = folder.configured()
    say(f"train     {recipe.num_steps} steps of {recipe.batch_size} photos, checkpoints in {folder.checkpoints}")
    if validation_fold is None and recipe.early_stop_after > 0:
        raise RunError("early_stop_after needs a held-out fold: set it to 0 to train on all photos")
    evaluate_every = 0 if validation_fold is None else recipe.evaluate_every
    validation = None
    if evaluate_every:
        validation = Validation(_held_out(folder), recipe.input_size, recipe.input_size, validation_figures)
    schedule = Schedule(recipe.seed, evaluate_every, recipe.early_stop_after, checkpoint_every)
    train(
        folder.pipeline_config,
        folder.checkpoints,
        schedule,
        augmentation=Augmentation.from_recipe(recipe),
        validation=validation,
    )


def export_step(folder: RunFolder, *, checkpoint: str = "latest") -> None:
    """Export a checkpoint, `latest` or `best`, as SavedModel."""
    recipe, _ = folder.configured()
    say(f"export    {folder.export / SAVED_MODEL}")
    folder.export.mkdir(parents=True, exist_ok=True)
    source = find_checkpoint(folder.checkpoints, checkpoint)
    export(folder.pipeline_config, source, folder.export / SAVED_MODEL, multi_scale=recipe.multi_scale)
    write_file(folder.exported_checkpoint, checkpoint + "\n")


def tflite_step(folder: RunFolder, *, precisions: tuple[str, ...] = ("float32", "int8")) -> None:
    """Convert the exported checkpoint to TFLite; the int8 model is calibrated on photos of the training part."""
    recipe, _ = folder.configured()
    if not folder.exported_checkpoint.exists():
        raise RunError(f"{folder.path} has no SavedModel to compare with: run export first")
    say(f"tflite    {', '.join(str(folder.export / FILES[precision]) for precision in precisions)}")
    convert(
        folder.pipeline_config,
        find_checkpoint(folder.checkpoints, folder.exported_checkpoint.read_text(encoding="utf-8").strip()),
        folder.export,
        representative=folder.training_photos(),
        precisions=precisions,
        multi_scale=recipe.multi_scale,
    )


def evaluate_step(folder: RunFolder) -> Evidence:
    """Run the exported models on the held-out photos, print and write their figures."""
    exported = _exported_models(folder)
    # The bundle's parity shows that the float32 TFLite model is the SavedModel but for rounding.
    models = [model for model in exported if model != "saved_model" or "float32" not in exported]
    recipe, validation_fold = folder.configured()
    photos = _held_out(folder)
    say(f"evaluate  {len(photos)} photos of fold {validation_fold}")
    size = recipe.input_size
    predictions = {
        model: predict(load_exported(folder.export, model, size, size), photos, name=model) for model in models
    }
    training_photos = len(folder.training_photos())
    evidence = held_out_evidence(validation_fold, photos, predictions, training_photos=training_photos)
    write_file(folder.evaluation, json.dumps(evidence.evaluations, indent=2) + "\n")
    print(figures_table(evidence.evaluations), end="")
    return evidence


def package_step(
    folder: RunFolder,
    *,
    version: int,
    cross_validation: Path | None = None,
    replaces: Sequence[str] = (),
    earlier: Sequence[Path] = (),
) -> Bundle:
    """Check the parity of the exported models and write the bundle.

    Args:
        cross_validation: folder of a cross-validation of the same recipe, which gives figures, calibration and
            operating points; without it they come from the held-out fold.
        replaces: names of the models that this one replaces.
        earlier: see `seen_by_run`.

    Raises:
        RunError: no fold was held out and no cross-validation is given.
        CrossValidationError: the cross-validation is of another recipe.
    """
    recipe, validation_fold = folder.configured()
    photos = folder.photos()
    trained_at = folder.trained_input_size
    drawn = folder.training_photos()
    if cross_validation is None:
        compared = _held_out(folder)
        evidence = evaluate_step(folder)
    else:
        compared = photos
        evidence = out_of_fold_evidence(
            cross_validation, recipe, training_photos=len(drawn), trained_input_size=trained_at
        )
    # Before fusion: of equal scores, suppression may keep either, which moves the mean of a tooth's boxes.
    size = recipe.input_size
    found = {
        model: predict_by_size(load_exported(folder.export, model, size, size), compared, name=model)
        for model in _exported_models(folder)
    }
    bundle = package(
        folder.export,
        folder.bundles,
        version=version,
        recipe=recipe,
        photos=photos,
        evidence=evidence,
        held_out_fold=validation_fold,
        parity={model: compare(found["saved_model"], other) for model, other in found.items() if model in FILES},
        checkpoint=folder.exported_checkpoint.read_text(encoding="utf-8").strip(),
        trained_input_size=trained_at,
        sets=describe_sets(folder.data_sets(), photos, drawn, recipe.sampling),
        replaces=replaces,
        seen=seen_by_run(folder, calibrated=compared, earlier=earlier),
        origin={key: value for key in ("started_from", "teeth_from") if (value := folder.recorded(key))},
    )
    say(f"package   {bundle.path}")
    return bundle


def say(line: str) -> None:
    """Print progress to the error stream, so that results can be piped."""
    print(line, file=sys.stderr, flush=True)


def _share_of(files: list[Path], folder: RunFolder, recipe: Recipe, validation_fold: int | None) -> list[Path]:
    """Files with only the photos of the recipe's `training_share`, listed as often as these."""
    part = training_part(
        load_photos(folder.records / PHOTOS, check_files=False),
        held_out_fold=validation_fold,
        sampling=recipe.sampling,
        share=recipe.training_share,
        seed=recipe.seed,
    )
    say(f"configure {len(part)} photos, {recipe.training_share:g} of the groups of each data set")
    written = write_part(sorted(set(files)), {photo.path.name for photo in part}, folder.training_part)
    by_name = {path.name: path for path in written}
    return [by_name[path.name] for path in files]


def _held_out(folder: RunFolder) -> list[AnnotatedPhoto]:
    _, fold = folder.configured()
    if fold is None:
        raise RunError(
            "the training sees all photos, so none is left to evaluate on: give a cross-validation of the same recipe"
        )
    photos = folder.photos_of_fold(fold)
    if not photos:
        raise RunError(f"fold {fold} has no photo to evaluate on: hold out another one")
    return photos


def _exported_models(folder: RunFolder) -> tuple[str, ...]:
    files = {"saved_model": SAVED_MODEL, **FILES}
    found = tuple(model for model in MODELS if (folder.export / files[model]).exists())
    if not found:
        raise RunError(f"{folder.path} has no exported models: run export first")
    return found
