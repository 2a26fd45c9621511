import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_the_exit_status_is_that_of_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app", "models", "--model-store", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no bundle" in done.stderr
