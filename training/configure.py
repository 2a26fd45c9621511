"""A recipe (TOML) to the Object Detection API's `pipeline.config`.

Keys carry the names of the study that the project follows; what a recipe leaves out keeps the value of the model zoo's
stock configuration, `configs/ssd_mobilenet_v2_fpnlite_320x320.config`, unless `Recipe` says otherwise.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from training.annotations import CLASS_IDS
from training.errors import TrainingError

STOCK_CONFIG = Path(__file__).parent / "configs" / "ssd_mobilenet_v2_fpnlite_320x320.config"
SHIPPED_RECIPE = Path(__file__).parent / "recipes" / "caries-320.toml"

STALE_STATISTICS = 0.01
"""Largest share that the initial batch-norm statistics may keep in the moving averages at the end of a training."""


class RecipeError(TrainingError):
    """A recipe names an unknown key or a value that is not allowed."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that a training may vary.

    Attributes:
        model_name: name of the bundle.
        input_size: pixels; photos are squeezed to `input_size` x `input_size`. A multiple of 32; stock is 320.
        batch_size, num_steps: photos a step, steps in all.
        seed: of the photo order, the augmentation and the weights' initial values.
        learning_rate_base, warmup_learning_rate, warmup_steps: cosine decay to 0 over `num_steps` after a linear
            warm-up (momentum 0.9).
        classification_weight, localization_weight: weights of the two losses.
        iou_threshold: of non-maximum suppression, within one class.
        batch_norm_decay, batch_norm_epsilon: `decay ** num_steps` must be at most 1 %, or the exported detector would
            see activations scaled by the initial statistics.
        aspect_ratios, anchor_scale: of the anchors; the smallest anchor is `8 * anchor_scale` pixels.
        rendered_photos: how many photos of `training.render` join the training part.
        data_credit: whose photos these are and under which licence, for the model card.
        data_augmentation: steps of the API's preprocessor in protobuf text format, in order.
    """

    model_name: str
    input_size: int = 320
    batch_size: int = 16
    num_steps: int = 2000
    seed: int = 1
    learning_rate_base: float = 0.03
    warmup_learning_rate: float = 0.005
    warmup_steps: int = 100
    classification_weight: float = 1.0
    localization_weight: float = 1.0
    iou_threshold: float = 0.6
    batch_norm_decay: float = 0.97
    batch_norm_epsilon: float = 0.001
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5)
    anchor_scale: float = 4.0
    rendered_photos: int = 0
    data_credit: str = ""
    data_augmentation: tuple[str, ...] = ("random_horizontal_flip {}",)

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise RecipeError(f"{name} is {value!r}, allowed is {low:g} to {high:g}")
        for name in _WHOLE_NUMBERS:
            if not isinstance(getattr(self, name), int):
                raise RecipeError(f"{name} is {getattr(self, name)!r}, allowed is a whole number")
        if self.input_size % 32:
            raise RecipeError(f"input_size is {self.input_size}, allowed is a multiple of 32")
        if not self.aspect_ratios or any(not 0.05 <= ratio <= 20 for ratio in self.aspect_ratios):
            raise RecipeError(f"aspect_ratios is {list(self.aspect_ratios)}, allowed are numbers from 0.05 to 20")
        if self.warmup_steps > self.num_steps:
            raise RecipeError(f"warmup_steps is {self.warmup_steps}, allowed is at most num_steps ({self.num_steps})")
        stale = self.batch_norm_decay**self.num_steps
        if stale > STALE_STATISTICS:
            raise RecipeError(
                f"batch_norm_decay {self.batch_norm_decay:g} over {self.num_steps} steps leaves {stale:.0%} of the "
                f"initial statistics in the model, allowed is at most {STALE_STATISTICS:.0%}: "
                f"use {STALE_STATISTICS ** (1 / self.num_steps):.3g} or less"
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """The recipe in a TOML file.

        Raises:
            RecipeError: not TOML, an unknown key (with the nearest known one), or a value out of range.
        """
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(f"{path} cannot be read: {error}") from error
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
                raise RecipeError(f"{path.name} has the unknown key {key}; the nearest known one is {near[0]}")
        if "model_name" not in values:
            raise RecipeError(f"{path.name} does not name its model (model_name)")
        for key in ("aspect_ratios", "data_augmentation"):
            if key in values:
                values[key] = tuple(values[key])
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Every key with its value, ready for JSON."""
        return asdict(self)


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("input_size", 96, 1280),
    ("batch_size", 1, 1024),
    ("num_steps", 1, 1_000_000),
    ("seed", 0, 2**31 - 1),
    ("learning_rate_base", 1e-6, 1.0),
    ("warmup_learning_rate", 0.0, 1.0),
    ("warmup_steps", 0, 100_000),
    ("classification_weight", 0.01, 100),
    ("localization_weight", 0.01, 100),
    ("iou_threshold", 0.1, 0.95),
    ("batch_norm_decay", 0.0, 0.9999),
    ("batch_norm_epsilon", 1e-6, 0.1),
    ("anchor_scale", 0.5, 16),
    ("rendered_photos", 0, 100_000),
)
_WHOLE_NUMBERS = ("input_size", "batch_size", "num_steps", "seed", "warmup_steps", "rendered_photos")


def configure(
    recipe: Recipe,
    *,
    label_map: Path,
    train_records: Sequence[Path],
    validation_records: Sequence[Path],
    fine_tune_checkpoint: Path | None,
) -> str:
    """The text of a `pipeline.config`.

    Args:
        recipe: what to vary.
        label_map: the `label_map.pbtxt`.
        train_records, validation_records: TFRecord files.
        fine_tune_checkpoint: prefix of the pretrained backbone's checkpoint; None trains from random weights.

    Raises:
        RecipeError: an augmentation step is not one of the API's.
    """
    import training.compat  # noqa: F401  isort: skip
    from google.protobuf import text_format
    from object_detection.protos import pipeline_pb2, preprocessor_pb2

    pipeline = text_format.Parse(STOCK_CONFIG.read_text(encoding="utf-8"), pipeline_pb2.TrainEvalPipelineConfig())
    ssd = pipeline.model.ssd
    ssd.num_classes = len(CLASS_IDS)
    ssd.image_resizer.fixed_shape_resizer.height = recipe.input_size
    ssd.image_resizer.fixed_shape_resizer.width = recipe.input_size
    for hyperparams in (
        ssd.feature_extractor.conv_hyperparams,
        ssd.box_predictor.weight_shared_convolutional_box_predictor.conv_hyperparams,
    ):
        hyperparams.batch_norm.decay = recipe.batch_norm_decay
        hyperparams.batch_norm.epsilon = recipe.batch_norm_epsilon
    anchors = ssd.anchor_generator.multiscale_anchor_generator
    anchors.anchor_scale = recipe.anchor_scale
    anchors.aspect_ratios[:] = recipe.aspect_ratios
    ssd.post_processing.batch_non_max_suppression.iou_threshold = recipe.iou_threshold
    ssd.loss.classification_weight = recipe.classification_weight
    ssd.loss.localization_weight = recipe.localization_weight

    train = pipeline.train_config
    train.batch_size = recipe.batch_size
    train.num_steps = recipe.num_steps
    train.sync_replicas = False
    train.ClearField("replicas_to_aggregate")
    cosine = train.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate
    cosine.learning_rate_base = recipe.learning_rate_base
    cosine.total_steps = recipe.num_steps
    cosine.warmup_learning_rate = recipe.warmup_learning_rate
    cosine.warmup_steps = recipe.warmup_steps
    del train.data_augmentation_options[:]
    for step in recipe.data_augmentation:
        try:
            train.data_augmentation_options.append(text_format.Parse(step, preprocessor_pb2.PreprocessingStep()))
        except text_format.ParseError as error:
            raise RecipeError(f"data_augmentation {step!r} is not a preprocessing step: {error}") from error
    if fine_tune_checkpoint is not None:
        train.fine_tune_checkpoint = str(fine_tune_checkpoint)

    pipeline.train_input_reader.label_map_path = str(label_map)
    pipeline.train_input_reader.tf_record_input_reader.input_path[:] = [str(path) for path in train_records]
    pipeline.eval_input_reader[0].label_map_path = str(label_map)
    pipeline.eval_input_reader[0].tf_record_input_reader.input_path[:] = [str(path) for path in validation_records]

    text: str = text_format.MessageToString(pipeline)
    return text
