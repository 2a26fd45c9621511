"""The command line where packages are missing."""

import subprocess
import sys

HIDE = """
import sys
hidden = {names!r}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
from training.cli import main
sys.exit(main({arguments!r}))
"""


def run_without(names: list[str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(names=names, arguments=arguments)], capture_output=True, text=True
    )
