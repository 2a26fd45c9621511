import pytest

from training.recipe import RecipeError
from training.second_look.recipe import SECOND_LOOK_RECIPE, SecondLookRecipe


def test_recipe_of_the_project_is_read() -> None:
    recipe = SecondLookRecipe.read(SECOND_LOOK_RECIPE)
    assert SecondLookRecipe.of_values(recipe.as_dict()) == recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "not named"),
        ({"model_name": "a", "crop": 96}, "crop is not a key"),
        ({"model_name": "a", "crop_size": 100}, "multiple of 32"),
        ({"model_name": "a", "crop_size": 96.5}, "crop_size is 96.5"),
        ({"model_name": "a", "learning_rate": 2}, "allowed is 1e-07 to 1"),
        ({"model_name": "a", "frozen_batch_norm": 1}, "frozen_batch_norm is 1"),
        ({"model_name": "a", "epochs": True}, "epochs is True"),
        ({"model_name": 3}, "model_name is 3"),
    ],
)
def test_wrong_recipes_are_refused(values, message) -> None:
    with pytest.raises(RecipeError, match=message):
        SecondLookRecipe.of_values(values)


def test_a_file_that_is_no_toml_is_refused(tmp_path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("=")
    with pytest.raises(RecipeError, match=r"recipe\.toml cannot be read"):
        SecondLookRecipe.read(path)
