import json

import pytest
import tensorflow as tf

from training.enlarge import enlarge_run
from training.recipe import Recipe, RecipeError
from training.run_folder import RunFolder


def test_several_sizes_are_refused_for_an_architecture_without_them(tmp_path) -> None:
    recipe = Recipe("m", architecture="centernet_mobilenet_v2_fpn", pretrained="none")
    run = RunFolder(tmp_path)
    run.state.write_text(json.dumps({"recipe": recipe.as_dict(), "validation_fold": 0}))
    run.checkpoints.mkdir()
    tf.train.Checkpoint(step=tf.Variable(1)).save(str(run.checkpoints / "ckpt"))
    with pytest.raises(RecipeError, match="multi_scale is set, but centernet_mobilenet_v2_fpn has no use for it"):
        enlarge_run(run, RunFolder(tmp_path / "larger"), (416, 320))
