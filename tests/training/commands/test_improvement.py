from training.cli import main


def test_a_store_that_cannot_be_read_is_named(model_store, tmp_path, capsys) -> None:
    command = ["improve", "--model-store", str(model_store), "--out", str(tmp_path / "out"), "--reviews"]
    assert main([*command, "mysql://host/db"]) == 1
    assert "CARIES_REVIEWS" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "nothing")]) == 1
    assert str(tmp_path / "nothing") in capsys.readouterr().err
    assert not (tmp_path / "out" / "run").exists()
    assert main([*command[:2], str(tmp_path), *command[3:], str(tmp_path)]) == 1
    assert "contains no bundle" in capsys.readouterr().err
