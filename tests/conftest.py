"""Fixtures shared by all tests. Photos are rendered by our own code; the real ones are used where they are."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

# Small models on two cores: TensorFlow's start-up messages only hide what a failing test says.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two trainings of one thread each get more done than one after the other with two.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


LONGEST_FIRST = ("test_architectures.py", "test_train.py", "test_run.py", "test_notebook.py", "tests/training/")
"""Which tests begin, so that no process is left alone with minutes of work at the end."""

SHARE_A_RUN = (
    "test_run.py",
    "test_detectors.py",
    "test_out_of_fold.py",
    "test_repackage.py",
    "test_cross_validation.py",
)
"""Files whose tests use `tiny_run`, a training of minutes."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What shares a file runs in one process, and so does what shares a costly fixture."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tiny_run" if file.endswith(SHARE_A_RUN) else file

    return Scheduling(config, log)


def _turn(item: pytest.Item) -> int:
    path = item.path.as_posix()
    if path.endswith(SHARE_A_RUN):
        path = SHARE_A_RUN[0]
    return next((turn for turn, part in enumerate(LONGEST_FIRST) if part in path), len(LONGEST_FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the training part are skipped where only the server's environment is installed."""
    items.sort(key=_turn)
    if importlib.util.find_spec("object_detection") is None:
        skip = pytest.mark.skip(reason="the training environment is not installed")
        for item in items:
            if "tests/training" in item.path.as_posix():
                item.add_marker(skip)


@pytest.fixture(scope="session")
def model_store() -> Path:
    """That of the repository."""
    return ROOT / "model_store"


@pytest.fixture(scope="session")
def shipped_bundle(model_store):
    """The bundle of the repository that is served where no other is asked for."""
    from app.detector.bundle import find_bundle, read_bundle

    return read_bundle(find_bundle(model_store))


@pytest.fixture(scope="session")
def fast_bundle(model_store):
    """The bundle of the repository whose detector looks at a photo once, at the size that it was trained at."""
    from app.detector.bundle import find_bundle, read_bundle

    return read_bundle(find_bundle(model_store, "caries-ssd-mobilenet-v2-fpnlite-320"))


@pytest.fixture(scope="session", params=["caries-ssd-mobilenet-v2-fpnlite", "caries-ssd-mobilenet-v2-fpnlite-320"])
def each_bundle(request, model_store):
    """Every bundle of the repository, one after the other."""
    from app.detector.bundle import find_bundle, read_bundle

    return read_bundle(find_bundle(model_store, request.param))


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
