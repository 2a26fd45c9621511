"""The folder of a run: where each step keeps its results, and finds those of the steps before it.

records/            label map, TFRecords by fold, photos.json       prepare
run.json            recipe, held-out fold, what tells the photos    configure
pretrained/         weights that the training starts from           configure
pipeline.config     the Object Detection API's configuration        configure
trained_at.txt      input size of the training, if it was another   enlarge
checkpoints/        checkpoints, losses, evaluations, TensorBoard   train
export/             saved_model/                                    export
                    model.tflite, ..._float16, ..._int8             tflite
evaluation.json     figures of each exported model                  evaluate
bundle/NAME/N/      the release                                     package
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from training.data.annotations import AnnotatedPhoto
from training.data.prepare import PHOTOS
from training.data.saved_photos import load_photos, saved_photos_sha256
from training.errors import TrainingError
from training.recipe import Recipe

RECORDS = "records"


class RunError(TrainingError):
    """A step lacks what an earlier one should have left, or finds what another recipe or fold left."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where each step of a run keeps its results.

    Attributes:
        path: the folder.
        shared_records: records that several runs read; None for the run's own.
    """

    path: Path
    shared_records: Path | None = None

    @classmethod
    def part(cls, path: Path) -> Self:
        """The run in this folder; one of a cross-validation or a sweep shares the records of those around it."""
        whole = path.absolute()
        records = next((place / RECORDS for place in (whole, *whole.parents[:2]) if (place / RECORDS).exists()), None)
        return cls(path, shared_records=records)

    @classmethod
    def trained(cls, detector: Path) -> Self | None:
        """The run that a detector lies in: the folder itself, or one of the three above it, as a bundle's."""
        whole = detector.absolute()
        return next((cls(place) for place in (whole, *whole.parents[:3]) if cls(place).state.exists()), None)

    @property
    def records(self) -> Path:
        return self.shared_records or self.path / RECORDS

    @property
    def state(self) -> Path:
        return self.path / "run.json"

    @property
    def pipeline_config(self) -> Path:
        return self.path / "pipeline.config"

    @property
    def trained_at(self) -> Path:
        """Holds the pixels of the input that the weights were trained at, where the run is of another size."""
        return self.path / "trained_at.txt"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def export(self) -> Path:
        return self.path / "export"

    @property
    def exported_checkpoint(self) -> Path:
        """Holds `latest` or `best`: which checkpoint the exported models come from."""
        return self.export / "checkpoint.txt"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def bundles(self) -> Path:
        return self.path / "bundle"

    def photos(self) -> list[AnnotatedPhoto]:
        """The photos that were prepared.

        Raises:
            RunError: none were, or the run was trained on others, see `check_photos`.
            AnnotationError: one of them has changed since.
        """
        self.check_photos()
        return load_photos(self.records / PHOTOS)

    def configured(self) -> tuple[Recipe, int | None]:
        """The recipe, and the fold that is held out, None if the training sees all.

        Raises:
            RunError: the run was not configured.
        """
        if not self.state.exists():
            raise RunError(f"{self.path} is not configured: run configure or train first")
        state = json.loads(self.state.read_text(encoding="utf-8"))
        return Recipe.from_dict(state["recipe"]), state["validation_fold"]

    def photos_sha256(self) -> str:
        """What tells the photos that were prepared from others, see `training.data.saved_photos.photos_sha256`.

        Raises:
            RunError: none were.
        """
        path = self.records / PHOTOS
        if not path.exists():
            raise RunError(f"{self.records} holds no {PHOTOS}: run prepare first")
        return saved_photos_sha256(path)

    def check_photos(self) -> None:
        """Raises RunError where no photos were prepared, or other ones than the run is known to be trained on: a fold
        that was dealt anew would hold photos that were trained on."""
        prepared = self.photos_sha256()
        state = json.loads(self.state.read_text(encoding="utf-8")) if self.state.exists() else {}
        if state.get("photos_sha256", prepared) != prepared:
            raise RunError(
                f"{self.path} holds a training of other photos, labels or folds: give the data as it was, or choose "
                "another folder"
            )
