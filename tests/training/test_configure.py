from dataclasses import replace

import pytest

from training.configure import SHIPPED_RECIPE, Recipe, RecipeError, configure


def write(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def parse(text):
    import training.compat  # noqa: F401  isort: skip
    from google.protobuf import text_format
    from object_detection.protos import pipeline_pb2

    return text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())


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
    pipeline = parse(text)
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


def test_the_shipped_recipe_is_valid() -> None:
    recipe = Recipe.read(SHIPPED_RECIPE)
    assert recipe.num_steps >= 2000
    assert recipe.batch_size >= 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_name = 'm'\nbatchsize = 4", "unknown key batchsize; the nearest known one is batch_size"),
        ("model_name = 'm'\nbatch_size = 0", "batch_size is 0, allowed is 1 to 1024"),
        ("model_name = 'm'\nbatch_size = 4.5", "batch_size is 4.5, allowed is a whole number"),
        ("model_name = 'm'\nlearning_rate_base = 'high'", "learning_rate_base is 'high'"),
        ("model_name = 'm'\ninput_size = 300", "input_size is 300, allowed is a multiple of 32"),
        ("model_name = 'm'\naspect_ratios = []", "aspect_ratios"),
        ("model_name = 'm'\nnum_steps = 200\nwarmup_steps = 300", "warmup_steps is 300"),
        ("batch_size = 4", "does not name its model"),
        ("model_name = ", "cannot be read"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_sentence(tmp_path, text, message) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.read(write(tmp_path, text))


def test_stale_batch_norm_statistics_cannot_be_configured() -> None:
    Recipe("m", num_steps=2000, batch_norm_decay=0.997)
    with pytest.raises(RecipeError, match=r"leaves 9% of the initial statistics .* use 0\.994 or less"):
        Recipe("m", num_steps=800, batch_norm_decay=0.997)


def test_an_unknown_augmentation_is_refused(tmp_path) -> None:
    recipe = replace(Recipe("m"), data_augmentation=("random_sparkle {}",))
    with pytest.raises(RecipeError, match="random_sparkle"):
        configure(recipe, label_map=tmp_path, train_records=[], validation_records=[], fine_tune_checkpoint=None)
