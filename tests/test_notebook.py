"""The commands of docs/notebook.md run in the order of the page, on a folder of rendered photos."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytest.importorskip("object_detection", reason="the training environment is not installed")

from tests.training.conftest import SMALL_RECIPE
from tests.training.model.pretrained.pretrained_server import SMALL, serving
from training.cli import COMMANDS, main, parser
from training.render import write_via

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]


def test_every_command_of_the_program_is_on_the_page() -> None:
    shown = {shlex.split(line)[3] for line in LINES}
    # The text mentions `render` and `run`; other tests start with them.
    assert set(COMMANDS) - {"render", "run"} == shown
    for line in ("python -m training render --out photos", "python -m training run --data photos --out runs/mine"):
        assert line in PAGE


TESTED_ALONE = {
    "compare": "test_head_to_head.py",
    "--if-better": "test_succession.py",
    "improve": "test_improve.py",
    "cross-validate": "test_cross_validation.py",
    "learning-curve": "test_learning_curve.py",
    "enlarge": "test_multi_scale.py",
    "repackage": "test_repackage.py",
    "review": "test_review.py",
    "sweep --search": "test_search.py",
}
"""Commands of minutes that another file in tests/training runs: here they run in the full matrix only."""


@pytest.mark.parametrize("all_of_them", [False, pytest.param(True, marks=pytest.mark.systems)])
def test_the_commands_of_the_page_work(tmp_path, monkeypatch, capsys, all_of_them) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_via(Path("photos"), range(1, 11), width=240, height=180)
    for path in Path("photos/json_train").iterdir():
        path.write_text(path.read_text().replace('"caries"', '"cavity"'))
    recipe = SMALL_RECIPE.replace("num_steps = 12", "num_steps = 4\nevaluate_every = 4")
    # With this decay batch norm is not re-estimated, which saves time; tests/training/model/test_batch_norm.py does it.
    recipe = recipe.replace("batch_norm_decay = 0.2", "batch_norm_decay = 0.01")
    Path("my.toml").write_text(recipe)
    with serving(SMALL) as mirror:
        monkeypatch.setenv("CARIES_PRETRAINED_MIRROR", mirror.address)
        for line in LINES:
            arguments = shlex.split(line)[3:]
            # The page renames the labels once, in step 2; all commands read the same folder.
            if "--data" in arguments and "--rename" not in arguments:
                arguments += ["--rename", "cavity=caries"]
            if arguments[0] == "sweep":
                arguments += ["--set=pretrained=none", "--set=input_size=128", "--set=batch_norm_decay=0.001"]
            alone = [test for command, test in TESTED_ALONE.items() if set(command.split()) <= set(arguments)]
            if alone and not all_of_them:
                assert list((ROOT / "tests" / "training").rglob(alone[0]))
                assert parser().parse_args(arguments).command == arguments[0]
                continue
            assert main(arguments) == 0, (line, capsys.readouterr().err[-2000:])
    assert (tmp_path / "runs/mine/explore/report.html").exists()
    assert (tmp_path / "runs/mine/evaluation/froc.png").exists()
    assert len(list((tmp_path / "results").glob("[[]Result[]]*.png"))) == 10
    assert list((tmp_path / "model_store").glob("small/1/bundle.json"))
    assert "| r25 |" in (tmp_path / "runs/trials/results.md").read_text()
    if all_of_them:
        assert (tmp_path / "runs/search/results.md").read_text().count("| s0000 |") == 1
    check_tensorboard(tmp_path / "runs/mine/checkpoints/events")


def check_tensorboard(events: Path) -> None:
    """The page's TensorBoard command serves what the training wrote."""
    import httpx

    assert "tensorboard --logdir runs/mine/checkpoints/events" in PAGE
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(events), "--port", str(port), "--bind_all"],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        deadline = time.monotonic() + 60
        tags: dict = {}
        while "validation/mAP@.5" not in tags and time.monotonic() < deadline:
            time.sleep(0.3)
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/data/plugin/scalars/tags")
                tags = answer.json().get(".", {}) if answer.status_code == 200 else {}
            except (httpx.HTTPError, ValueError):
                continue
        assert {"total_loss", "validation/mAP@.5"} <= set(tags)
    finally:
        process.terminate()
        process.wait()
