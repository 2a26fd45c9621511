import numpy as np

from training.cli import main


def test_no_share_of_the_former_averages_remains(prepared, small_recipe) -> None:
    """Independent of the former averages, the same weights and photos give the same ones."""
    from training.compat import tf
    from training.model.batch_norm import build_reestimation, moving_statistics, needs_reestimation
    from training.model.batches import training_batches
    from object_detection.builders import model_builder
    from object_detection.utils import config_util

    assert main(["configure", "--out", str(prepared), "--recipe", str(small_recipe)]) == 0
    configs = config_util.get_configs_from_pipeline_file(str(prepared / "pipeline.config"))
    model = model_builder.build(configs["model"], is_training=True)
    model.predict(*model.preprocess(tf.zeros([1, 128, 128, 3])))
    statistics = moving_statistics(model)
    assert len(statistics) > 100
    reestimate = build_reestimation(model, tf.distribute.get_strategy(), unpad_groundtruth=False)
    weights = [variable.numpy() for variable in model.trainable_variables]
    found = []
    for former in (0.0, 1000.0):
        for variable in statistics:
            variable.assign(tf.fill(variable.shape, former))
        reestimate(training_batches(configs, model, seed=1, first_step=0))
        found.append([variable.numpy() for variable in statistics])
    for first, second in zip(*found, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-5)
    for before, variable in zip(weights, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(before, variable.numpy())
    # The recipe's decay is 0.2.
    assert needs_reestimation(model, 5)
    assert not needs_reestimation(model, 6)
