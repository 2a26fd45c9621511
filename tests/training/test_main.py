import subprocess
import sys

from tests.conftest import ROOT


def test_the_exit_status_is_that_of_the_command(tmp_path) -> None:
    command = [sys.executable, "-m", "training", "export", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("export: ")
