"""A recipe to the Object Detection API's `pipeline.config`.

The start is the stock configuration of the architecture in `configs/`, as published by the TensorFlow 2 detection model
zoo; only paths and the recipe's keys are replaced.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from training.data.annotations import CLASS_IDS
from training.recipe import Recipe, RecipeError

CONFIGS = Path(__file__).parent / "configs"
STOCK_CONFIG = CONFIGS / "ssd_mobilenet_v2_fpnlite.config"


def configure(
    recipe: Recipe,
    *,
    label_map: Path,
    train_records: Sequence[Path],
    validation_records: Sequence[Path],
    fine_tune_checkpoint: Path | None,
    fine_tune_checkpoint_type: str = "classification",
) -> str:
    """The text of a `pipeline.config`.

    Fine-tuning starts from the prefix of a checkpoint, None for random weights. Its type is `classification` for a
    backbone, `detection` for a detector without its predictors of boxes and classes, `full` with them. Raises
    RecipeError: an augmentation step is not one of the API's.
    """
    from google.protobuf import text_format

    import training.compat  # noqa: F401
    from object_detection.protos import preprocessor_pb2

    pipeline = stock_pipeline(recipe.architecture)
    _configure_model(pipeline, recipe)

    train = pipeline.train_config
    train.batch_size = recipe.batch_size
    train.num_steps = recipe.num_steps
    train.sync_replicas = False
    train.ClearField("replicas_to_aggregate")
    optimizer = getattr(train.optimizer, train.optimizer.WhichOneof("optimizer"))
    cosine = optimizer.learning_rate.cosine_decay_learning_rate
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
        train.fine_tune_checkpoint_type = fine_tune_checkpoint_type

    pipeline.train_input_reader.label_map_path = str(label_map)
    pipeline.train_input_reader.tf_record_input_reader.input_path[:] = [str(path) for path in train_records]
    pipeline.eval_input_reader[0].label_map_path = str(label_map)
    pipeline.eval_input_reader[0].tf_record_input_reader.input_path[:] = [str(path) for path in validation_records]

    text: str = text_format.MessageToString(pipeline)
    return text


def stock_pipeline(architecture: str) -> Any:
    """The stock `TrainEvalPipelineConfig` of an architecture."""
    return parse_pipeline((CONFIGS / f"{architecture}.config").read_text(encoding="utf-8"))


def parse_pipeline(text: str) -> Any:
    """The `TrainEvalPipelineConfig` of a `pipeline.config`."""
    from google.protobuf import text_format

    import training.compat  # noqa: F401
    from object_detection.protos import pipeline_pb2

    return text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())


def detector_message(pipeline: Any) -> Any:
    """The `Ssd`, `FasterRcnn` or `CenterNet` message of a pipeline."""
    return getattr(pipeline.model, pipeline.model.WhichOneof("model"))


def input_size_of(pipeline: Any) -> tuple[int, int]:
    """Height and width of a pipeline's input in pixels."""
    resizer = detector_message(pipeline).image_resizer.fixed_shape_resizer
    return resizer.height, resizer.width


def differences_from_stock(text: str, architecture: str) -> list[tuple[str, str, str]]:
    """Fields that differ from the stock `pipeline.config`: name, stock value, value; "-" if absent."""
    ours, stock = dict(_flatten(parse_pipeline(text))), dict(_flatten(stock_pipeline(architecture)))
    return [
        (name, stock.get(name, "-"), ours.get(name, "-"))
        for name in sorted({*ours, *stock})
        if ours.get(name) != stock.get(name)
    ]


def _flatten(message: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every set field with its dotted name; a list is one field."""
    for field, value in message.ListFields():
        name = f"{prefix}{field.name}"
        values = value if _is_repeated(field) else None
        if values is not None and (not values or field.message_type is None):
            yield name, "[" + ", ".join(_text(item) for item in values) + "]"
        elif values is not None:
            for number, item in enumerate(values):
                inner = list(_flatten(item, f"{name}[{number}]."))
                yield from inner or [(f"{name}[{number}]", "{}")]
        elif field.message_type is not None:
            inner = list(_flatten(value, f"{name}."))
            yield from inner or [(name, "{}")]
        else:
            yield name, _text(value)


def _is_repeated(field: Any) -> bool:
    repeated = field.is_repeated
    return bool(repeated() if callable(repeated) else repeated)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _configure_model(pipeline: Any, recipe: Recipe) -> None:
    detector = detector_message(pipeline)
    detector.num_classes = len(CLASS_IDS)
    detector.image_resizer.fixed_shape_resizer.height = recipe.input_size
    detector.image_resizer.fixed_shape_resizer.width = recipe.input_size
    match pipeline.model.WhichOneof("model"):
        case "ssd":
            for hyperparams in (
                detector.feature_extractor.conv_hyperparams,
                detector.box_predictor.weight_shared_convolutional_box_predictor.conv_hyperparams,
            ):
                hyperparams.batch_norm.decay = recipe.batch_norm_decay
                hyperparams.batch_norm.epsilon = recipe.batch_norm_epsilon
            anchors = detector.anchor_generator.multiscale_anchor_generator
            anchors.anchor_scale = recipe.anchor_scale
            anchors.aspect_ratios[:] = recipe.aspect_ratios
            _configure_suppression(detector.post_processing.batch_non_max_suppression, recipe)
            detector.loss.classification_weight = recipe.classification_weight
            detector.loss.localization_weight = recipe.localization_weight
        case "faster_rcnn":
            grid = detector.first_stage_anchor_generator.grid_anchor_generator
            # The grid's scales are multiples of 256 pixels; the smallest stock one, 64, corresponds to anchor_scale 4.
            grid.scales[:] = [scale * recipe.anchor_scale / 4 for scale in grid.scales]
            grid.aspect_ratios[:] = recipe.aspect_ratios
            _configure_suppression(detector.second_stage_post_processing.batch_non_max_suppression, recipe)
            detector.second_stage_classification_loss_weight *= recipe.classification_weight
            detector.second_stage_localization_loss_weight *= recipe.localization_weight
        case "center_net":
            detector.object_center_params.object_center_loss_weight *= recipe.classification_weight
            detector.object_detection_task.task_loss_weight *= recipe.localization_weight


def _configure_suppression(suppression: Any, recipe: Recipe) -> None:
    suppression.iou_threshold = recipe.iou_threshold
    if recipe.nms_score_threshold:
        suppression.score_threshold = recipe.nms_score_threshold
