import pytest

from tests.training.without_packages import run_without
from training import cli


def test_other_commands_name_a_missing_package() -> None:
    done = run_without(["numpy", "PIL"], ["prepare", "--data", "x", "--out", "y"])
    assert done.returncode == 1
    assert "python -m training doctor says what to install" in done.stderr
    assert "Traceback" not in done.stderr


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_command_says_so(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("training.commands.doctor.diagnose", interrupt)
    assert cli.main(["doctor", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "doctor: stopped\n"


def test_an_unknown_command_is_refused_with_the_known_ones(capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["fly"])
    shown = capsys.readouterr().err
    assert all(f"'{name}'" in shown for name in cli.COMMANDS)
