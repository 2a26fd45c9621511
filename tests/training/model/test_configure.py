from dataclasses import replace
from pathlib import Path

import pytest

from training.model.configure import STOCK_CONFIG, configure, differences_from_stock, input_size_of, parse_pipeline
from training.recipe import ARCHITECTURES, Recipe, RecipeError

ARCHITECTURE = "ssd_mobilenet_v2_fpnlite"


def test_every_key_of_the_recipe_reaches_the_pipeline(tmp_path) -> None:
    recipe = Recipe(
        model_name="m",
        input_size=256,
        batch_size=3,
        num_steps=700,
        learning_rate_base=0.02,
        warmup_learning_rate=0.001,
        warmup_steps=30,
        classification_weight=1.3,
        localization_weight=1.4,
        iou_threshold=0.55,
        batch_norm_decay=0.9,
        batch_norm_epsilon=0.01,
        aspect_ratios=(2.5, 0.25),
        anchor_scale=2.5,
        data_augmentation=("random_vertical_flip { probability: 0.25 }",),
    )
    text = configure(
        recipe,
        label_map=tmp_path / "label_map.pbtxt",
        train_records=[tmp_path / "a.tfrecord", tmp_path / "b.tfrecord"],
        validation_records=[tmp_path / "c.tfrecord"],
        fine_tune_checkpoint=tmp_path / "backbone-1",
    )
    pipeline = parse_pipeline(text)
    ssd, train = pipeline.model.ssd, pipeline.train_config
    cosine = train.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate
    anchors = ssd.anchor_generator.multiscale_anchor_generator
    assert ssd.num_classes == 2
    assert (ssd.image_resizer.fixed_shape_resizer.height, ssd.image_resizer.fixed_shape_resizer.width) == (256, 256)
    assert (train.batch_size, train.num_steps) == (3, 700)
    assert (cosine.learning_rate_base, cosine.total_steps) == (pytest.approx(0.02), 700)
    assert (cosine.warmup_learning_rate, cosine.warmup_steps) == (pytest.approx(0.001), 30)
    assert ssd.loss.classification_weight == pytest.approx(1.3)
    assert ssd.loss.localization_weight == pytest.approx(1.4)
    assert ssd.post_processing.batch_non_max_suppression.iou_threshold == pytest.approx(0.55)
    for hyperparams in (
        ssd.feature_extractor.conv_hyperparams,
        ssd.box_predictor.weight_shared_convolutional_box_predictor.conv_hyperparams,
    ):
        assert hyperparams.batch_norm.decay == pytest.approx(0.9)
        assert hyperparams.batch_norm.epsilon == pytest.approx(0.01)
    assert (list(anchors.aspect_ratios), anchors.anchor_scale) == ([2.5, 0.25], 2.5)
    (step,) = train.data_augmentation_options
    assert step.random_vertical_flip.probability == 0.25
    assert train.fine_tune_checkpoint.endswith("backbone-1")
    assert train.fine_tune_checkpoint_type == "classification"
    assert [path.rpartition("/")[2] for path in pipeline.train_input_reader.tf_record_input_reader.input_path] == [
        "a.tfrecord",
        "b.tfrecord",
    ]


def test_an_unknown_augmentation_is_refused(tmp_path) -> None:
    recipe = replace(Recipe("m"), data_augmentation=("random_sparkle {}",))
    with pytest.raises(RecipeError, match="random_sparkle"):
        configure(recipe, label_map=tmp_path, train_records=[], validation_records=[], fine_tune_checkpoint=None)


def plain(architecture: str = "ssd_mobilenet_v2_fpnlite", **changes) -> str:
    recipe = Recipe("m", architecture=architecture, pretrained="none", **changes)
    return configure(
        recipe,
        label_map=Path("label_map.pbtxt"),
        train_records=[Path("a.tfrecord")],
        validation_records=[Path("b.tfrecord")],
        fine_tune_checkpoint=None,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_takes_the_keys_it_uses(architecture) -> None:
    pipeline = parse_pipeline(plain(architecture, input_size=640, batch_size=3, learning_rate_base=0.011))
    assert input_size_of(pipeline) == (640, 640)
    assert pipeline.train_config.batch_size == 3
    optimizer = getattr(pipeline.train_config.optimizer, pipeline.train_config.optimizer.WhichOneof("optimizer"))
    assert optimizer.learning_rate.cosine_decay_learning_rate.learning_rate_base == pytest.approx(0.011)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_weights_reach_every_architecture(architecture) -> None:
    heavier = differences(plain(architecture), plain(architecture, classification_weight=1.5, localization_weight=3))
    assert len(heavier) == 2
    for before, after in heavier.values():
        assert float(after) / float(before) in (pytest.approx(1.5), pytest.approx(3))


def differences(first: str, second: str) -> dict[str, tuple[str, str]]:
    one, two = (
        dict(line.strip().split(": ") for line in text.splitlines() if ": " in line) for text in (first, second)
    )
    return {key: (one[key], two[key]) for key in one if one[key] != two[key]}


def test_faster_rcnn_scales_its_grid_by_the_anchor_scale() -> None:
    grid = parse_pipeline(
        plain("faster_rcnn_resnet50_v1", anchor_scale=2.0, aspect_ratios=(0.5, 0.35), iou_threshold=0.5)
    ).model.faster_rcnn
    anchors = grid.first_stage_anchor_generator.grid_anchor_generator
    assert list(anchors.scales) == [0.125, 0.25, 0.5, 1.0]
    assert list(anchors.aspect_ratios) == pytest.approx([0.5, 0.35])
    assert grid.second_stage_post_processing.batch_non_max_suppression.iou_threshold == pytest.approx(0.5)


def test_differences_from_the_stock_configuration_are_listed_by_field() -> None:
    found = {name: (stock, ours) for name, stock, ours in differences_from_stock(plain(anchor_scale=3.0), ARCHITECTURE)}
    assert found["model.ssd.num_classes"] == ("90", "2")
    assert found["model.ssd.anchor_generator.multiscale_anchor_generator.anchor_scale"] == ("4", "3")
    assert found["train_config.batch_size"] == ("128", "16")
    assert "model.ssd.box_coder.faster_rcnn_box_coder.y_scale" not in found
    assert differences_from_stock(STOCK_CONFIG.read_text(), ARCHITECTURE) == []
