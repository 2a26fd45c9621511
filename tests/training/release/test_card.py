from training.release.card import model_card


def test_the_card_says_at_which_sizes_it_was_trained_and_runs(shipped_bundle) -> None:
    manifest = shipped_bundle.manifest
    assert shipped_bundle.card == model_card(manifest)
    assert "at 320 x 320 pixels, trained with" in shipped_bundle.card
    both = {**manifest, "trained_input_size": 256, "input": {**manifest["input"], "multi_scale": [256]}}
    card = model_card(both)
    assert "at 256 x 256, whose weights run here at the larger size" in card
    assert "and, of the same photo, at 256 x 256, fused tooth by tooth" in card
