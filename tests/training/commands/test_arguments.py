import pytest

from training.cli import main
from training.commands.arguments import with_settings
from training.recipe import Recipe, RecipeError


def test_settings_replace_values_and_keep_the_others() -> None:
    recipe = with_settings(
        Recipe("m", seed=7), ["num_steps=300", "aspect_ratios=[1.0, 0.5]", "pretrained=none", "iou_threshold = 0.5"]
    )
    assert (recipe.num_steps, recipe.aspect_ratios, recipe.pretrained) == (300, (1.0, 0.5), "none")
    assert (recipe.iou_threshold, recipe.seed) == (0.5, 7)


@pytest.mark.parametrize(
    ("setting", "message"),
    [("num_steps", "not of the form KEY=VALUE"), ("steps=3", "nearest one is"), ("num_steps=-1", "num_steps is -1")],
)
def test_a_wrong_setting_is_refused(setting, message) -> None:
    with pytest.raises(RecipeError, match=message):
        with_settings(Recipe("m"), [setting])


def test_folds_that_do_not_exist_are_refused(small_data, tmp_path, capsys) -> None:
    assert main(["cross-validate", "--data", str(small_data), "--out", str(tmp_path / "x"), "--folds", "0,5"]) == 1
    assert "--folds is '0,5', allowed are numbers from 0 to 4" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
