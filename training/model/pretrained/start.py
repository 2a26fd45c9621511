"""A trained detector to start from: a bundle, the latest checkpoint of a run, or the prefix of a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.detector.bundle import MANIFEST, read_bundle
from training.model.checkpoints import (
    CheckpointError,
    find_checkpoint,
    find_pipeline_config,
    restore_saved_model,
    unused_pipeline,
)
from training.model.configure import detector_message, parse_pipeline
from training.model.pretrained.catalogue import credit
from training.model.pretrained.restore import FineTune
from training.output import file_sha256
from training.recipe import Recipe
from training.run_folder import RunFolder

DATA = "data-00000-of-00001"
"""Suffix of the file of a checkpoint, or of a SavedModel's variables, that has the weights."""


@dataclass(frozen=True, slots=True)
class Start:
    """The weights to start from: a name, the SHA-256 of their file, the text of the detector's `pipeline.config`, the
    prefix of a checkpoint or the folder of a bundle, and the credit of the pretrained weights that their own training
    started from, empty if unknown."""

    name: str
    sha256: str
    pipeline: str
    weights: Path
    pretrained_weights: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"name": self.name, "sha256": self.sha256, "pretrained_weights": self.pretrained_weights}

    def fine_tune(self, recipe: Recipe, out: Path) -> FineTune:
        """The checkpoint to fine-tune from; that of a bundle is written to the folder `out`.

        All layers start from their weights (`full`), but for the predictors of boxes and classes if the recipe has
        another number of anchors (`detection`). Raises CheckpointError: the recipe trains another architecture.
        """
        theirs, ours = (parse_pipeline(text) for text in (self.pipeline, unused_pipeline(recipe)))
        if _extractor(theirs) != _extractor(ours):
            raise CheckpointError(f"{self.name} is a detector of another architecture than {recipe.architecture}")
        prefix = self.weights
        if self.weights.is_dir():
            prefix = restore_saved_model(self.weights, self.pipeline, save_to=out)
        return FineTune(prefix.resolve(), "full" if _anchors(theirs) == _anchors(ours) else "detection")


def find_start(place: Path) -> Start:
    """The weights at a path. Raises CheckpointError: there are none, or no `pipeline.config`; BundleError: the bundle
    is damaged."""
    if (place / MANIFEST).is_file():
        bundle = read_bundle(place)
        pipeline = unused_pipeline(Recipe.from_dict(bundle.manifest["recipe"]))
        digest = file_sha256(place / "variables" / f"variables.{DATA}")
        return Start(f"{bundle.name} {bundle.version}", digest, pipeline, place, bundle.manifest["pretrained_weights"])
    is_run = (place / "pipeline.config").is_file() and (place / "checkpoints").is_dir()
    prefix = find_checkpoint(place / "checkpoints" if is_run else place)
    config = find_pipeline_config(prefix)
    if config is None:
        raise CheckpointError(f"there is no pipeline.config next to {prefix} or in the two folders above")
    name = f"{config.parent.name} {prefix.name}"
    digest = file_sha256(Path(f"{prefix}.{DATA}"))
    return Start(
        name, digest, config.read_text(encoding="utf-8"), prefix, _pretrained_weights(RunFolder(config.parent))
    )


def _pretrained_weights(run: RunFolder) -> str:
    if not run.state.exists():
        return ""
    if start := run.recorded("started_from"):
        return str(start.get("pretrained_weights", ""))
    recipe, _ = run.configured()
    return credit(recipe.pretrained)


def _extractor(pipeline: Any) -> tuple[str, str]:
    return pipeline.model.WhichOneof("model"), detector_message(pipeline).feature_extractor.type


def _anchors(pipeline: Any) -> int:
    """The number of aspect ratios, which decides the shape of the predictors, 0 for a detector without anchors."""
    detector = detector_message(pipeline)
    match pipeline.model.WhichOneof("model"):
        case "ssd":
            return len(detector.anchor_generator.multiscale_anchor_generator.aspect_ratios)
        case "faster_rcnn":
            return len(detector.first_stage_anchor_generator.grid_anchor_generator.aspect_ratios)
    return 0
