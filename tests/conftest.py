"""Fixtures shared by all tests. Photos are rendered; real ones are used where they are installed."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import re
import subprocess
import sys
import venv
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).parent.parent

# TensorFlow's start-up messages hide what a failing test prints.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two trainings of one thread each finish sooner than one after the other with two.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

HAS_TRAINING = importlib.util.find_spec("object_detection") is not None
needs_training = pytest.mark.skipif(not HAS_TRAINING, reason="the training environment is not installed")

LONGEST_FIRST = ("test_run.py", "test_train.py", "test_notebook.py", "test_architectures.py", "tests/training/")
"""Files that start first, so that neither process is left with minutes of work at the end."""

SHARE_A_RUN = (
    "test_run.py",
    "test_bundles.py",
    "test_detectors.py",
    "test_evidence.py",
    "test_held_out.py",
    "test_improve.py",
    "test_multi_scale.py",
    "test_repackage.py",
    "test_review.py",
    "test_tflite.py",
)
"""Files whose tests use `tiny_run`, a training of minutes."""

SHARE_A_REPORT = "tests/training/explore/"
"""Folder whose tests use one report of the command `explore`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-passed", type=Path, help="write the names of the tests that passed to this file")
    parser.addoption("--skip-passed", type=Path, help="leave out the tests named in this file")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if file := config.getoption("--record-passed"):
        names = sorted(report.nodeid for report in terminalreporter.getreports("passed"))
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(names), encoding="utf-8")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of one file run in one process, and so do tests that share a costly fixture."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if file.startswith(SHARE_A_REPORT):
                return SHARE_A_REPORT
            return "tiny_run" if file.endswith(SHARE_A_RUN) else file

    return Scheduling(config, log)


def _rank(item: pytest.Item) -> int:
    path = item.path.as_posix()
    if path.endswith(SHARE_A_RUN):
        path = SHARE_A_RUN[0]
    return next((rank for rank, part in enumerate(LONGEST_FIRST) if part in path), len(LONGEST_FIRST))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_rank)
    if file := config.getoption("--skip-passed"):
        passed = set(file.read_text(encoding="utf-8").split("\n"))
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = [item for item in items if item.nodeid not in passed]
    users = {item.path.name for item in items if isinstance(item, pytest.Function) and "tiny_run" in item.fixturenames}
    if unlisted := users - set(SHARE_A_RUN):
        raise pytest.UsageError(f"add to SHARE_A_RUN in tests/conftest.py, or each process trains: {unlisted}")


Report = TypeVar("Report", pytest.CollectReport, pytest.TestReport)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return skip_if_missing(collector.path, (yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return skip_if_missing(item.path, (yield))


def skip_if_missing(path: Path, report: Report) -> Report:
    """Turn a failed import into a skip where only the server's environment is installed."""
    missing = re.search(r"No module named '(?!app\b|training\b|tests\b|benchmarks\b)(\w+)", str(report.longrepr))
    if report.failed and missing and not HAS_TRAINING:
        report.outcome = "skipped"
        report.longrepr = (str(path), 0, f"Skipped: {missing[1]} is not installed")
    return report


RAY = ("ray[data,tune]==2.60.*", "fsspec", "s3fs", "optuna>=4.5", "moto[server]==5.*")
"""The extra `ray`, Tune's searcher, and a stand-in for S3."""


@pytest.fixture(scope="session")
def ray_python() -> Path:
    """Python of `.venv/ray`, this environment with Ray (800 MB, three minutes), or the one CARIES_TEST_RAY names."""
    if given := os.environ.get("CARIES_TEST_RAY"):
        return Path(given)
    folder, text = ROOT / ".venv" / "ray", "\n".join(RAY)
    folder.mkdir(parents=True, exist_ok=True)
    python, installed = folder / "bin" / "python", folder / ".installed"
    with (folder.parent / ".ray.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_text() != text:
            venv.create(folder, with_pip=True, clear=True)
            (packages,) = folder.glob("lib/python*/site-packages")
            shared = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
            (packages / "shared.pth").write_text("\n".join(shared) + "\n")
            done = subprocess.run([python, "-m", "pip", "install", "-q", *RAY], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"Ray cannot be installed: {done.stderr.strip().splitlines()[-1]}")
            installed.write_text(text)
    return python


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """A test that configures logging leaves no handler that writes to its captured output."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def model_store() -> Path:
    """The repository's bundles."""
    return ROOT / "model_store"


@pytest.fixture(scope="session")
def shipped_bundle(model_store):
    """The bundle served by default."""
    from app.detector.bundle import find_bundle, read_bundle

    return read_bundle(find_bundle(model_store))


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """Folder of real photos, which are not part of the repository."""
    folder = Path(os.environ.get("CARIES_TEST_PHOTOS", ROOT.parent / "shared" / "data" / "tooth-photos"))
    if not folder.is_dir():
        pytest.skip("the real photos are not installed: set CARIES_TEST_PHOTOS")
    return folder


@pytest.fixture(scope="session")
def data_sets() -> list[Path]:
    """The folders of the three sets of real photos that the shipped detector was trained on, apart from fold 0."""
    folder = ROOT.parent / "shared" / "data"
    folders = [folder / name for name in ("tooth-photos", "dentalai", "ahmed2025")]
    if not all(path.is_dir() for path in folders):
        pytest.skip("the data sets are not installed")
    return folders


@pytest.fixture(scope="session")
def example_photos() -> list[Path]:
    """The rendered photos in examples/, which is laid out as training data."""
    return sorted((ROOT / "examples" / "img_train").glob("*.jpg"))
