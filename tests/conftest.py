"""Fixtures shared by all tests. Photos are rendered by our own code; the real ones are used where they are."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Small models on two cores: TensorFlow's start-up messages only hide what a failing test says.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two trainings of one thread each get more done than one after the other with two.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the training part are skipped where only the server's environment is installed.

    What shares a costly fixture runs in one process, and else what shares a file.
    """
    for item in items:
        shared = "tiny_run" if "tiny_run" in getattr(item, "fixturenames", ()) else item.path.name
        item.add_marker(pytest.mark.xdist_group(shared))
    if importlib.util.find_spec("object_detection") is None:
        skip = pytest.mark.skip(reason="the training environment is not installed")
        for item in items:
            if "tests/training" in item.path.as_posix():
                item.add_marker(skip)


@pytest.fixture(scope="session")
def shipped_bundle():
    """The newest bundle of the repository's model store."""
    from app.bundle import find_bundle, read_bundle

    return read_bundle(find_bundle(ROOT / "model_store"))


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """Folder of the real photos, beside the repository; they are not part of it."""
    folder = Path(os.environ.get("CARIES_TEST_PHOTOS", ROOT.parent / "shared" / "data" / "tooth-photos"))
    if not folder.is_dir():
        pytest.skip("the real photos are not on this machine")
    return folder


@pytest.fixture(scope="session")
def example_photos() -> list[Path]:
    """The rendered photos in examples/, a folder in the layout of the training data."""
    return sorted((ROOT / "examples" / "img_train").glob("*.jpg"))
