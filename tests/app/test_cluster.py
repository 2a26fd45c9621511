"""The commands with `--ray` without Ray, and without a cluster."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from app.cli import main
from app.cluster import PACKAGES, require_extra
from app.errors import SettingsError
from tests.conftest import ROOT

INSTALL = "not installed here; run: pip install 'caries-screen[ray]'"
SCALE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").split("\n## Ray\n")[1].split("\n## ")[0]
COMMANDS = [shlex.split(line) for line in re.findall(r"^caries (.*)", SCALE, re.MULTILINE)]


def test_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cluster.find_spec", lambda _: None)
    assert main(["detect", str(tmp_path), "--out", str(tmp_path / "out"), "--ray", "auto"]) == 2
    assert capsys.readouterr().err.endswith(f"--ray needs {', '.join(PACKAGES)}, {INSTALL}\n")
    assert not (tmp_path / "out").exists()


def test_only_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cluster.find_spec", lambda name: None if name == "ray" else name)
    with pytest.raises(SettingsError, match=r"^--ray needs ray, not installed"):
        require_extra()


@pytest.mark.slow
@pytest.mark.systems
def test_an_address_without_a_cluster(tmp_path: Path, ray_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARIES_TEST_RAY", raising=False)  # no setting
    photo = ROOT / "examples" / "img_train"
    command = [
        str(ray_python),
        "-m",
        "app",
        "detect",
        str(photo),
        "--out",
        str(tmp_path / "out"),
        "--ray",
        "127.0.0.1:9",
    ]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 1
    assert "caries: no Ray cluster can be joined at 127.0.0.1:9" in said.stderr
    assert not (tmp_path / "out").exists()


def test_the_commands_of_the_page_are_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.cluster.find_spec", lambda _: None)
    assert len(COMMANDS) == 2
    for arguments in COMMANDS:
        assert main(arguments) == 2
        assert INSTALL in capsys.readouterr().err


def test_json_lines_and_ray_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "a.jpg", "--out", "out", "--ray", "auto", "--json"]) == 2
    assert "--json and --ray exclude each other" in capsys.readouterr().err
