import shutil
import tarfile

import numpy as np
import pytest

from tests.training.model.pretrained.pretrained_server import NAME
from training.cli import main
from training.model.configure import STOCK_CONFIG
from training.model.pretrained.catalogue import PretrainedWeightsError
from training.model.pretrained.fetch import fetch
from training.model.pretrained.restore import fine_tune_source


def test_a_zoo_checkpoint_is_restored_all_but_the_class_predictor(prepared, small_recipe, tmp_path) -> None:
    """A detector of 90 classes is saved as the zoo does; a training of our two classes starts from its weights."""
    from training.compat import tf
    from training.model.configure import parse_pipeline
    from object_detection.builders import model_builder

    model = model_builder.build(parse_pipeline(STOCK_CONFIG.read_text()).model, is_training=True)
    model.predict(*model.preprocess(tf.zeros([1, 128, 128, 3])))
    zoo = tmp_path / "zoo" / "checkpoint"
    tf.train.CheckpointManager(tf.train.Checkpoint(model=model), str(zoo), 1).save(checkpoint_number=0)
    archive = tmp_path / "zoo.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        members.add(tmp_path / "zoo", arcname=NAME)
    cache = tmp_path / "cache"
    fetch(NAME, cache, source=str(archive))
    weights = {variable.name: variable.numpy() for variable in model._feature_extractor.trainable_variables}

    found = fine_tune_source(NAME, "ssd_mobilenet_v2_fpnlite", tmp_path, cache=cache)
    assert found.type == "detection"
    own = ["--set", f"pretrained={found.prefix}"]
    # A rate of nearly nothing: after one step the weights are still those that were restored.
    quiet = ["--set=learning_rate_base=0.000001", "--set=warmup_learning_rate=0.0", "--set=num_steps=1"]
    command = ["train", "--out", str(prepared), "--recipe", str(small_recipe), *own, *quiet, "--set=warmup_steps=1"]
    assert main(command) == 0
    reader = tf.train.load_checkpoint(str(prepared / "checkpoints"))
    trained = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("model/_feature_extractor") and "OPTIMIZER" not in name and "SLOT" not in name.upper()
    }
    for name, value in weights.items():
        assert any(other.shape == value.shape and np.allclose(other, value, atol=1e-6) for other in trained.values()), (
            name
        )
    with pytest.raises(PretrainedWeightsError, match="the recipe trains ssd_resnet50_v1_fpn"):
        fine_tune_source(NAME, "ssd_resnet50_v1_fpn", tmp_path, cache=cache)
    shutil.rmtree(cache)
