"""The whole way from annotated photos to a bundle, each step a function of its own module.

The folder of a run:

    records/            label map, TFRecords by fold                 prepare
    pretrained/         backbone checkpoint                          pretrained
    pipeline.config     the Object Detection API's configuration     configure
    checkpoints/        checkpoints, losses.jsonl, TensorBoard       train
    export/             saved_model/, model.tflite, model_int8.tflite   export
    evaluation.json     figures of each exported model               evaluate
    bundle/NAME/N/      the release                                  package

Every step looks for what an earlier call of the same command left, so a run that was killed is continued by starting it
again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.bundle import Bundle
from training.annotations import FOLDS, AnnotatedPhoto, read_annotated_photos
from training.configure import Recipe, configure
from training.errors import TrainingError
from training.evaluate import MODELS, evaluate, figures_table, load_exported, match_screened, operating_point, predict
from training.export import export
from training.package import package
from training.parity import compare
from training.prepare import prepare
from training.pretrained import save_backbone_checkpoint
from training.train import train


class RunError(TrainingError):
    """A step lacks what an earlier one should have left, or finds what another recipe or fold left."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where each step of a run keeps its results."""

    path: Path

    @property
    def records(self) -> Path:
        return self.path / "records"

    @property
    def pipeline_config(self) -> Path:
        return self.path / "pipeline.config"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def export(self) -> Path:
        return self.path / "export"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def bundles(self) -> Path:
        return self.path / "bundle"


def run(
    data: Path, out: Path, recipe: Recipe, *, validation_fold: int = 0, version: int = 1, pretrained: bool = True
) -> Bundle:
    """All steps, from annotated photos to a bundle.

    Args:
        data: folder in the layout of `training.annotations`.
        out: folder of the run. A run of the same recipe and data that was killed there is continued.
        recipe: what to train.
        validation_fold: this fold is held out; the other four and the rendered photos are trained on.
        version: of the bundle.
        pretrained: start from the COCO backbone rather than from random weights.

    Raises:
        RunError: `out` holds a run of another recipe.
    """
    folder = RunFolder(out)
    prepare_step(data, folder, recipe)
    train_step(folder, recipe, validation_fold=validation_fold, pretrained=pretrained)
    export_step(data, folder, validation_fold=validation_fold)
    return package_step(data, folder, recipe, validation_fold=validation_fold, version=version, pretrained=pretrained)


def prepare_step(data: Path, folder: RunFolder, recipe: Recipe) -> None:
    """Checks the data and writes the records."""
    _say(f"prepare   {data}")
    photos = prepare(data, folder.records, rendered_photos=recipe.rendered_photos)
    boxes = sum(len(photo.class_ids) for photo in photos)
    _say(f"          {len(photos)} photos, {boxes} boxes, {recipe.rendered_photos} rendered photos for training")


def train_step(folder: RunFolder, recipe: Recipe, *, validation_fold: int, pretrained: bool) -> None:
    """Writes `pipeline.config` and trains, or continues, up to the recipe's number of steps."""
    fold_records = [folder.records / f"fold_{fold}.tfrecord" for fold in range(FOLDS)]
    train_records = [path for fold, path in enumerate(fold_records) if fold != validation_fold]
    if recipe.rendered_photos:
        train_records.append(folder.records / "rendered.tfrecord")
    missing = [path.name for path in (*fold_records, *train_records) if not path.exists()]
    if missing:
        raise RunError(f"{folder.records} lacks {', '.join(sorted(set(missing)))}: run prepare first")
    if not any(path.stat().st_size for path in train_records):
        raise RunError(f"all photos are in fold {validation_fold}, which is held out: none is left to train on")
    pipeline = configure(
        recipe,
        label_map=folder.records / "label_map.pbtxt",
        train_records=train_records,
        validation_records=[fold_records[validation_fold]],
        fine_tune_checkpoint=save_backbone_checkpoint(folder.path / "pretrained") if pretrained else None,
    )
    if folder.checkpoints.exists() and folder.pipeline_config.read_text(encoding="utf-8") != pipeline:
        raise RunError(f"{folder.path} holds a training with another recipe or fold: choose another folder")
    folder.pipeline_config.write_text(pipeline, encoding="utf-8")
    _say(f"train     {recipe.num_steps} steps of {recipe.batch_size} photos, checkpoints in {folder.checkpoints}")
    train(folder.pipeline_config, folder.checkpoints, seed=recipe.seed)


def export_step(data: Path, folder: RunFolder, *, validation_fold: int) -> None:
    """Exports the latest checkpoint; the int8 model is calibrated on photos of the training part."""
    if not folder.pipeline_config.exists():
        raise RunError(f"{folder.path} holds no training: run train first")
    _say(f"export    {folder.export}")
    representative = [photo for photo in read_annotated_photos(data) if photo.fold != validation_fold]
    export(folder.pipeline_config, folder.checkpoints, folder.export, representative=representative)


def evaluate_step(
    data: Path, folder: RunFolder, recipe: Recipe, *, validation_fold: int
) -> tuple[list[AnnotatedPhoto], dict[str, Any]]:
    """Runs the exported models over the held-out photos, prints and writes their figures.

    Returns:
        The held-out photos, and the detections of each model on them.
    """
    if not folder.export.exists():
        raise RunError(f"{folder.path} holds no exported models: run export first")
    photos = [photo for photo in read_annotated_photos(data) if photo.fold == validation_fold]
    if not photos:
        raise RunError(f"fold {validation_fold} holds no photo to evaluate on: hold out another one")
    _say(f"evaluate  {len(photos)} photos of fold {validation_fold}")
    predictions = {
        model: predict(load_exported(folder.export, model, recipe.input_size), photos, name=model) for model in MODELS
    }
    evaluations = {model: evaluate(photos, found) for model, found in predictions.items()}
    folder.evaluation.write_text(json.dumps(evaluations, indent=2) + "\n", encoding="utf-8")
    print(figures_table(evaluations))
    return photos, predictions


def package_step(
    data: Path, folder: RunFolder, recipe: Recipe, *, validation_fold: int, version: int, pretrained: bool
) -> Bundle:
    """Evaluates the exported models, checks their parity and writes the bundle."""
    held_out, predictions = evaluate_step(data, folder, recipe, validation_fold=validation_fold)
    score_threshold, cross_fitted = operating_point(held_out, match_screened(held_out, predictions["saved_model"]))
    bundle = package(
        folder.export,
        folder.bundles,
        version=version,
        recipe=recipe,
        photos=read_annotated_photos(data),
        validation_fold=validation_fold,
        evaluations=json.loads(folder.evaluation.read_text(encoding="utf-8")),
        parity={name: compare(predictions["saved_model"], predictions[name]) for name in ("float32", "int8")},
        score_threshold=score_threshold,
        cross_fitted=cross_fitted,
        pretrained=pretrained,
    )
    _say(f"package   {bundle.path}")
    return bundle


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
