from training.run_folder import RunFolder


def test_a_part_of_a_cross_validation_has_its_records_and_a_run_its_own(tmp_path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "run" / "records").mkdir(parents=True)
    assert RunFolder.part(tmp_path / "fold_0").records == tmp_path / "records"
    assert RunFolder.part(tmp_path / "fold_0" / "at_416").records == tmp_path / "records"
    assert RunFolder.part(tmp_path / "run").records == tmp_path / "run" / "records"
    assert RunFolder.part(tmp_path / "a" / "b" / "c").records == tmp_path / "a" / "b" / "c" / "records"
