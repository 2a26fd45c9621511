"""The built files are those of the source."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from app.page.built_files import FOLDER
from tests.conftest import ROOT

SOURCE = FOLDER.parent / "source"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_rebuilt_page_has_the_same_bytes(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    subprocess.run(["make", "page", f"BUILT={tmp_path}"], cwd=ROOT, check=True)
    assert files(tmp_path) == files(FOLDER), "run: make page"


def test_packages_are_pinned_and_no_registry_is_named() -> None:
    wanted = json.loads((SOURCE / "package.json").read_text())
    locked = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    for name, version in (wanted["dependencies"] | wanted["devDependencies"]).items():
        assert locked[f"node_modules/{name}"]["version"] == version
    for path, package in locked.items():
        assert "resolved" not in package, path
        assert path == "" or package["integrity"].startswith("sha512-"), path
