"""The script of `make run` with a real server."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.detector.bundle import Bundle
from app.photo.decoding import decode

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def test_the_examples_are_posted_and_a_picture_is_written(
    tmp_path: Path, example_photos: list[Path], shipped_bundle: Bundle
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "annotated.png"
    script = ROOT / "examples" / "post_examples.py"
    result = subprocess.run(
        [sys.executable, str(script), "--port", str(port), "--out", str(out), "--exit"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    answers = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert len(answers) == len(example_photos)
    assert all(answer["model"]["sha256"] == shipped_bundle.sha256 for answer in answers)
    assert decode(out.read_bytes()).width == decode(example_photos[0].read_bytes()).width


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        script = ROOT / "examples" / "post_examples.py"
        result = subprocess.run(
            [sys.executable, str(script), "--port", str(taken.getsockname()[1]), "--exit"],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )
    assert result.returncode == 1
    assert "did not become ready" in result.stderr
