import numpy as np
import pytest

from training.second_look.classifier import (
    Look,
    SecondLookError,
    augmented_views,
    build,
    learning_rate,
    load_weights,
    save_weights,
    train,
)
from training.second_look.recipe import SecondLookRecipe
from training.second_look.teeth import canvas_side, middle

RECIPE = SecondLookRecipe("test", crop_size=32, views=2, epochs=12, batch_size=16, learning_rate=2e-3)


def test_it_learns_what_it_is_shown_and_is_kept(tmp_path, monkeypatch) -> None:
    # So few steps would leave the averages at what they were.
    monkeypatch.setattr("training.second_look.classifier.BATCH_NORM_DECAY", 0.6)
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 32)
    side = canvas_side(32)
    canvases = random.integers(0, 80, (32, side, side, 3), np.uint8) + (100 * labels[:, None, None, None]).astype(
        np.uint8
    )
    classifier = build(RECIPE)
    before = [weight.copy() for weight in classifier.lower.get_weights()]
    views = augmented_views(classifier, canvases, RECIPE)
    assert views.shape[:2] == (2, 32)
    loss = train(classifier, views, labels, np.arange(32), RECIPE)
    assert loss < 0.5
    for old, weight in zip(before, classifier.lower.get_weights(), strict=True):
        assert (old == weight).all()

    crops = middle(canvases, 32)
    found = Look(classifier).at(crops)
    assert ((found[:, 1] > 0.5) == labels).mean() > 0.9
    assert found == pytest.approx(Look(classifier).at(crops[:, :, ::-1]), abs=1e-5)
    assert Look(classifier).at(crops[:3]) == pytest.approx(found[:3], abs=1e-5)
    save_weights(classifier, tmp_path / "weights.npz")
    again = build(RECIPE)
    load_weights(again, tmp_path / "weights.npz")
    assert Look(again).at(crops) == pytest.approx(found, abs=1e-6)
    with pytest.raises(SecondLookError, match="no labelled tooth"):
        train(classifier, views, labels, np.zeros(0, np.int64), RECIPE)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(SecondLookError, match="last_layer is 'top'"):
        build(SecondLookRecipe("test", crop_size=32, last_layer="top"))


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-4
    assert learning_rate(0, 1, 0.1) == pytest.approx(0.1)
