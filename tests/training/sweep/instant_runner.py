"""Sweeps with an instant runner; a real one runs in tests/test_notebook.py."""

from pathlib import Path

from training.model.train import DivergedError
from training.recipe import Recipe
from training.sweep.report import STOCK_RECIPE

BASE = Recipe.read(STOCK_RECIPE)


class Runner:
    """Figures that follow from the recipe; remembers what it ran."""

    def __init__(self, fails: bool = False) -> None:
        self.ran: list[Recipe] = []
        self.fails = fails

    def __call__(self, records: Path, folder: Path, recipe: Recipe, fold: int) -> dict[str, float]:
        self.ran.append(recipe)
        if self.fails:
            raise DivergedError("the loss is not finite at step 3")
        figure = 0.5 + recipe.learning_rate_base
        return {"mAP@.5": figure, "mAP@.5:.95": figure / 2, "AP@.5 caries": 0.4, "best F1 caries": 0.3}
