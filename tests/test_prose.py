"""Words that plain technical English does not need stay out of the text that people read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

AVOIDED = re.compile(r"(?<![a-z])(beside|anew|nobody|somebody|whoever|anybody|whatever)(?![a-z])", re.IGNORECASE)
"""`next to` or `besides`, `again`, and the client, caller or operator by name."""

PLACES = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "Makefile", "Dockerfile", "docker-compose.yml"),
    *("docs", "app", "training", "benchmarks", "tests", "deploy", "examples"),
)
TEXT = {".py", ".md", ".toml", ".sh", ".yml", ".yaml", ".conf", ".csv", ".config", ""}

AS_DATA = ("benchmarks/codebase.py", "tests/benchmarks/test_codebase.py")
"""Files that count these words."""


def files() -> list[Path]:
    """The text files of the repository, except this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PLACES],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    paths = [ROOT / name for name in listed if name and Path(name).suffix in TEXT]
    return [path for path in paths if path.is_file() and path != Path(__file__)]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is not a checkout")
def test_no_text_uses_an_avoided_word() -> None:
    found = [
        f"{name}:{number}: {match.group()}"
        for path in files()
        if (name := path.relative_to(ROOT).as_posix())
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in AVOIDED.finditer(line)
        if name not in AS_DATA
    ]
    assert found == []
