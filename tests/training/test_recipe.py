import csv

import pytest

from training.commands.arguments import with_settings
from training.recipe import SHIPPED_RECIPE, Recipe, RecipeError

STAGES = ("teeth-320", "caries-320")
"""Recipes of the release, in the order of the stages."""


def read(tmp_path, text) -> Recipe:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return Recipe.read(path)


RECIPES = SHIPPED_RECIPE.parent


@pytest.mark.parametrize(
    "path", sorted(RECIPES.rglob("*-3??.toml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_recipes_are_valid(path) -> None:
    recipe = Recipe.read(path)
    assert recipe.input_size == int(path.stem[-3:])
    assert recipe.num_steps * recipe.batch_size >= 4000


def test_the_second_stage_can_start_from_the_first() -> None:
    teeth, caries = (Recipe.read(RECIPES / "release" / f"{name}.toml") for name in STAGES)
    assert (teeth.architecture, teeth.aspect_ratios) == (caries.architecture, caries.aspect_ratios)


def test_a_recipe_changes_the_keys_of_the_one_it_is_based_on(tmp_path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.toml").write_text("model_name = 'base'\nbatch_size = 4\nseed = 7")
    (tmp_path / "sub" / "middle.toml").write_text("based_on = '../base.toml'\nseed = 8")
    recipe = read(tmp_path, "based_on = 'sub/middle.toml'\nmodel_name = 'mine'")
    assert (recipe.model_name, recipe.batch_size, recipe.seed) == ("mine", 4, 8)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("'none.toml'", "none.toml cannot be read"),
        ("3", "based_on is 3, allowed is the path of a recipe"),
        ("'recipe.toml'", "based_on is 'recipe.toml', a recipe that is based on this one"),
    ],
)
def test_a_wrong_base_is_refused(tmp_path, base, message) -> None:
    with pytest.raises(RecipeError, match=message):
        read(tmp_path, f"based_on = {base}\nmodel_name = 'm'")


def test_the_recipes_of_the_trials_are_valid() -> None:
    with (SHIPPED_RECIPE.parent / "trials.csv").open(newline="", encoding="utf-8") as file:
        changes = [row["changes to caries-320.toml"] for row in csv.DictReader(file)]
    trained = [with_settings(Recipe.read(SHIPPED_RECIPE), text.split("; ")) for text in changes if text]
    assert {recipe.num_steps for recipe in trained} == {400, 600, 1000, 2000, 2800}


def test_the_last_stage_is_the_recipe_of_the_shipped_detector(shipped_bundle) -> None:
    recipe = Recipe.from_dict(shipped_bundle.manifest["recipe"])
    assert recipe == Recipe.read(RECIPES / "release" / f"{STAGES[-1]}.toml")


def test_sampling_is_a_table_in_a_recipe_and_in_a_setting(tmp_path) -> None:
    recipe = read(tmp_path, "model_name = 'm'\n[sampling]\ntooth-photos = 4\ndentalai = 0")
    assert recipe.sampling == {"tooth-photos": 4, "dentalai": 0}
    assert with_settings(recipe, ["sampling={dentalai = 2}"]).sampling == {"dentalai": 2}
    assert Recipe.from_dict(recipe.as_dict()) == recipe


def test_a_recipe_survives_json() -> None:
    recipe = Recipe.read(SHIPPED_RECIPE)
    assert Recipe.from_dict(recipe.as_dict()) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_name = 'm'\nbatchsize = 4", "batchsize is not a key of a recipe; the nearest one is batch_size"),
        ("model_name = 'm'\nbatch_size = 0", "batch_size is 0, allowed is 1 to 1024"),
        ("model_name = 'm'\nbatch_size = 4.5", "batch_size is 4.5, allowed is a whole number"),
        ("model_name = 'm'\nlearning_rate_base = 'high'", "learning_rate_base is 'high'"),
        ("model_name = 'm'\nlearning_rate_base = 0.001", "warmup_learning_rate is 0.005, allowed is at most"),
        ("model_name = 'm'\ninput_size = 300", "input_size is 300, allowed is a multiple of 32"),
        (
            "model_name = 'm'\nmulti_scale = [320]",
            "multi_scale is .320., allowed are different multiples of 32",
        ),
        ("model_name = 'm'\nmulti_scale = [96, 96]", "multi_scale is .96, 96., allowed are different multiples"),
        ("model_name = 'm'\nmulti_scale = ['96']", "multi_scale is .'96'., allowed are different multiples"),
        ("model_name = 'm'\nmulti_scale = 96", "multi_scale is 96, allowed is a list"),
        ("model_name = 'm'\nsampling = 2", "sampling is 2, allowed is a table"),
        ("model_name = 'm'\nsampling = { a = -1 }", "sampling of a is -1, allowed is a whole number from 0 to 20"),
        ("model_name = 'm'\nsampling = { a = 1.5 }", "sampling of a is 1.5, allowed is a whole number from 0 to 20"),
        ("model_name = 'm'\ntraining_share = 0.0", "training_share is 0.0, allowed is 0.001 to 1"),
        ("model_name = 'm'\naspect_ratios = []", "aspect_ratios"),
        ("model_name = 'm'\naspect_ratios = 1.0", "aspect_ratios is 1.0, allowed is a list"),
        ("model_name = 'm'\naspect_ratios = ['wide']", "aspect_ratios is .'wide'., allowed are numbers"),
        ("model_name = 'm'\nzoom_out = 15", "zoom_out is 15, allowed is 0 to 1"),
        ("model_name = 'm'\nnum_steps = 200\nwarmup_steps = 300", "warmup_steps is 300"),
        ("model_name = 'm'\nearly_stop_after = 3", "needs evaluate_every above 0"),
        ("model_name = 'm'\narchitecture = 'ssd_mobilenet'", "the nearest is ssd_mobilenet_v2_fpnlite"),
        ("model_name = 'm'\narchitecture = 'ssd_resnet50_v1_fpn'", "fits ssd_mobilenet_v2_fpnlite"),
        (
            "model_name = 'm'\npretrained = 'none'\narchitecture = 'centernet_mobilenet_v2_fpn'\nanchor_scale = 2",
            "anchor_scale is set, but centernet_mobilenet_v2_fpn has no use for it",
        ),
        ("batch_size = 4", "model_name is missing"),
        ("model_name = ", "cannot be read"),
        ("model_name = 3", "model_name is 3, allowed is a text"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_sentence(tmp_path, text, message) -> None:
    with pytest.raises(RecipeError, match=message):
        read(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.read(tmp_path / "none.toml")
