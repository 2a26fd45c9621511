"""The folder of a run: where each step writes its results and finds those of the steps before it.

records/            label map, TFRecords, photos.json, sets.json    prepare
run.json            recipe, held-out fold, sha256 of the photos     configure
training_part/      TFRecords, if the training draws only a share   configure
pretrained/         initial weights                                 configure
pipeline.config     the Object Detection API's configuration        configure
trained_at.txt      input size of the training, if it was another   enlarge
weights_of.txt      bundle or run that the weights are from         enlarge, repackage
checkpoints/        checkpoints, losses, evaluations, TensorBoard   train
export/             saved_model/                                    export
                    model.tflite, ..._float16, ..._int8             tflite
evaluation.json     figures of each exported model                  evaluate
bundle/NAME/N/      the release                                     package
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from training.data.annotations import AnnotatedPhoto
from training.data.data_sets import DataSet, load_data_sets
from training.data.prepare import PHOTOS, SETS, TEETH
from training.data.sampling import effective_sampling, training_part
from training.data.saved_photos import load_photos, saved_photos_sha256
from training.data.unlabelled_teeth import saved_detector, saved_place
from training.errors import TrainingError
from training.recipe import Recipe

RECORDS = "records"


class RunError(TrainingError):
    """The output of an earlier step is missing, or is from another recipe or fold."""


class _Inside:
    """A path inside the folder of a run."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: "RunFolder", _: type["RunFolder"]) -> Path:
        return run.path / self._name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and state of a run, which reads its own records unless it shares those of several runs."""

    path: Path
    shared_records: Path | None = None

    @classmethod
    def part(cls, path: Path) -> Self:
        """The run in this folder; a run of a cross-validation or a sweep shares the records of a folder above."""
        absolute = path.absolute()
        records = (folder / RECORDS for folder in (absolute, *absolute.parents[:2]))
        return cls(path, shared_records=next((folder for folder in records if folder.exists()), None))

    @classmethod
    def trained(cls, detector: Path) -> Self | None:
        """The run that contains a detector: the folder itself, or one of the three above it, as for a bundle."""
        absolute = detector.absolute()
        runs = (cls(folder) for folder in (absolute, *absolute.parents[:3]))
        return next((run for run in runs if run.state.exists()), None)

    @property
    def records(self) -> Path:
        return self.shared_records or self.path / RECORDS

    state = _Inside("run.json")
    pipeline_config = _Inside("pipeline.config")
    trained_at = _Inside("trained_at.txt")
    weights_of = _Inside("weights_of.txt")
    training_part = _Inside("training_part")
    checkpoints = _Inside("checkpoints")
    export = _Inside("export")
    exported_checkpoint = _Inside("export/checkpoint.txt")
    """`latest` or `best`: the checkpoint that the exported models come from."""
    evaluation = _Inside("evaluation.json")
    bundles = _Inside("bundle")

    @property
    def trained_input_size(self) -> int | None:
        """Pixels of the input that the weights were trained at; None if the run has the same size."""
        return int(self.trained_at.read_text(encoding="utf-8")) if self.trained_at.exists() else None

    def photos(self) -> list[AnnotatedPhoto]:
        """The prepared photos. Raises RunError: see `check_photos`; AnnotationError: a photo has changed since."""
        self.check_photos()
        return load_photos(self.records / PHOTOS)

    def data_sets(self) -> list[DataSet]:
        """The data sets of the prepared photos; none if an earlier version prepared them."""
        return load_data_sets(self.records / SETS)

    def teeth_from(self) -> dict[str, str] | None:
        """Name and SHA-256 of the detector that found teeth without a label, None if none did."""
        return saved_detector(self.records / TEETH)

    def origins(self) -> list[tuple[dict[str, str], Path | None]]:
        """The detectors that the training started from and that found its unlabelled teeth, if any: name and SHA-256,
        and where each was, None if an earlier version wrote the run."""
        start = self.recorded("started_from_place")
        places = {"started_from": Path(start) if start else None, "teeth_from": saved_place(self.records / TEETH)}
        return [(detector, place) for key, place in places.items() if (detector := self.recorded(key))]

    def training_photos(self) -> list[AnnotatedPhoto]:
        """The photos that the training draws from."""
        recipe, validation_fold = self.configured()
        return training_part(
            self.photos(),
            held_out_fold=validation_fold,
            sampling=effective_sampling(self.data_sets(), recipe.sampling),
            share=recipe.training_share,
            seed=recipe.seed,
        )

    def photos_of_fold(self, fold: int | None) -> list[AnnotatedPhoto]:
        """The prepared photos of one fold; none if None."""
        return [photo for photo in self.photos() if photo.fold == fold]

    def configured(self) -> tuple[Recipe, int | None]:
        """The recipe, and the held-out fold, None if the training sees all photos. Raises RunError: the run is not
        configured."""
        if not self.state.exists():
            raise RunError(f"{self.path} is not configured: run configure or train first")
        state = json.loads(self.state.read_text(encoding="utf-8"))
        return Recipe.from_dict(state["recipe"]), state["validation_fold"]

    def recorded(self, key: str, default: Any = None) -> Any:
        """A value of `run.json`; the default if `configure` did not write it, or an earlier version did."""
        state = json.loads(self.state.read_text(encoding="utf-8")) if self.state.exists() else {}
        return state.get(key, default)

    def photos_sha256(self) -> str:
        """The sha256 of the prepared photos, labels and folds, see `training.data.saved_photos.photos_sha256`. Raises
        RunError: no photos are prepared."""
        path = self.records / PHOTOS
        if not path.exists():
            raise RunError(f"{self.records} has no {PHOTOS}: run prepare first")
        return saved_photos_sha256(path)

    def check_photos(self) -> None:
        """Raise RunError if no photos are prepared, or others than the run was trained on: with other folds, the
        held-out fold would contain photos of the training."""
        prepared = self.photos_sha256()
        if self.recorded("photos_sha256", prepared) != prepared:
            raise RunError(
                f"{self.path} has a training of other photos, labels or folds: give the original data, or choose "
                "another folder"
            )
