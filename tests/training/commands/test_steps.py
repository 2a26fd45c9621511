import pytest

from training.cli import main


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("configure", "run prepare first"),
        ("train", "run prepare first"),
        ("export", "run configure or train first"),
        ("tflite", "run configure or train first"),
        ("evaluate", "run export first"),
        ("package", "run configure or train first"),
    ],
)
def test_a_step_run_too_early_names_the_missing_one(command, message, tmp_path, capsys) -> None:
    assert main([command, "--out", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


def test_a_configured_run_without_a_checkpoint_cannot_be_exported(prepared, small_recipe, capsys) -> None:
    assert main(["configure", "--out", str(prepared), "--recipe", str(small_recipe)]) == 0
    assert "model.ssd.num_classes: 90 -> 2" in capsys.readouterr().out
    assert main(["export", "--out", str(prepared)]) == 1
    assert "there is no checkpoint in" in capsys.readouterr().err
    assert main(["export", "--out", str(prepared), "--checkpoint", "best"]) == 1
    assert "if the recipe sets evaluate_every" in capsys.readouterr().err
    assert main(["tflite", "--out", str(prepared)]) == 1
    assert "run export first" in capsys.readouterr().err


def test_augmentation_before_the_preprocessor_is_shown_too(prepared, small_recipe, capsys) -> None:
    command = ["configure", "--out", str(prepared), "--recipe", str(small_recipe)]
    assert main(command) == 0
    assert "training.model.augmentation" not in capsys.readouterr().out
    assert main([*command, "--set", "rotation=9", "--set", "white_balance=0.05"]) == 0
    shown = capsys.readouterr().out.partition("training.model.augmentation changes each photo:\n")[2]
    assert shown == "  rotation: 9\n  white_balance: 0.05\n"
