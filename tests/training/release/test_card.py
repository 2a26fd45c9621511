from training.release.card import model_card


def test_the_card_says_at_which_sizes_it_was_trained_and_runs(each_bundle) -> None:
    is_enlarged = each_bundle.input_height != 320
    assert each_bundle.manifest.get("trained_input_size") == (320 if is_enlarged else None)
    for card in (each_bundle.card, model_card(each_bundle.manifest)):
        assert ("at 320 x 320, whose weights run here at the larger size" in card) == is_enlarged
        assert ("and, of the same photo, at 320 x 320, fused tooth by tooth" in card) == is_enlarged
