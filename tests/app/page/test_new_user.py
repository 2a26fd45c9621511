"""What a new user does: `make run`, the page, and a corrected photo in the layout of the training."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.serving import free_port
from tests.app.page.conftest import TIMEOUT_MS
from tests.app.page.screen import Screen
from tests.conftest import ROOT, needs_training

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

MAX_S = 300


@contextmanager
def make_run(folder: Path) -> Iterator[str]:
    """The command of `make run`; the address that it prints once it has posted the examples."""
    command = [sys.executable, "examples/post_examples.py", "--host", "127.0.0.1", "--port", str(free_port())]
    program = subprocess.Popen(
        [*command, "--out", str(folder / "annotated.png")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    try:
        yield next(match[1] for line in program.stdout if (match := re.match(r"serving at (\S+) ", line)))
    finally:
        program.terminate()  # it then stops the server
        program.wait(90)


@needs_training
def test_from_make_run_to_a_corrected_photo_in_the_training_layout(
    browser: Browser, example_photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from playwright.sync_api import expect

    from training.data.annotations import read_annotated_photos

    started = time.monotonic()
    with make_run(tmp_path) as address:
        context = browser.new_context(base_url=address, locale="en-GB", viewport={"width": 1280, "height": 900})
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.goto("/")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose photos").click()
        chooser.value.set_files(example_photos[0])
        expect(page.locator("#marks button").first).to_be_visible()
        page.get_by_role("button", name="Correct the marks").click()
        carious = page.locator("#teeth .class", has_text="Caries")
        before = carious.count()
        page.locator("#teeth button").first.click()
        page.get_by_role("group", name="Selected box").get_by_role("button", name="Sound tooth").click()
        expect(carious).to_have_count(before - 1)
        page.get_by_role("button", name="Confirm, next photo").click()
        with zipfile.ZipFile(io.BytesIO(Screen(page).download("#save-zip"))) as archive:
            archive.extractall(tmp_path / "corrected")
        context.close()
    (photo,) = read_annotated_photos(tmp_path / "corrected")
    assert np.count_nonzero(photo.class_ids == 2) == before - 1
    seconds = time.monotonic() - started
    with capsys.disabled():
        print(f"\nfrom make run to a corrected photo: {seconds:.1f} s")
    assert seconds < MAX_S
