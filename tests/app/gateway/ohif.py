"""OHIF, a viewer in the browser, over the DICOMweb of Debian's Orthanc.

`python -m tests.app.gateway.ohif` takes the screenshot of docs/pacs.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha512
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from app.peers import parse_peer
from app.settings import Precision, Settings
from tests.app.api.live_server import serving, wait_for
from tests.app.gateway.archives import store
from tests.app.gateway.test_orthanc import Orthanc
from tests.app.gateway.test_run import running, settings
from tests.app.page.conftest import TIMEOUT_MS, start_chromium
from tests.app.photo import dicom_files
from tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PACKAGE, INTEGRITY = (
    "@ohif/app@3.13.2",
    "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==",
)
"""The viewer, as npm names it, and its digest."""

PICTURE = sorted((ROOT / "examples" / "img_train").glob("*.jpg"))[0]
SCREENSHOT = ROOT / "docs" / "pacs" / "ohif.jpg"
QUALITY = 82

INSTALLED = ROOT / "build" / "ohif"
DICOM_WEB = "/dicom-web"

CONFIGURATION = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "defaultDataSourceName": "orthanc",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "orthanc",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "orthanc",
                "qidoRoot": DICOM_WEB,
                "wadoRoot": DICOM_WEB,
                "wadoUriRoot": "/wado",
                "qidoSupportsIncludeField": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "omitQuotationForMultipartRequest": True,
            },
        }
    ],
}


def install() -> Path:
    """The folder of the built viewer, about 200 MB, fetched by npm unless it is there; skips the test without npm."""
    folder = INSTALLED / "package" / "dist"
    if not folder.is_dir():
        if shutil.which("npm") is None:
            pytest.skip("npm, which fetches OHIF, is not installed")
        INSTALLED.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--json", PACKAGE]
        fetched = subprocess.run(command, cwd=INSTALLED, check=False, capture_output=True)
        if fetched.returncode:
            pytest.skip("npm cannot fetch OHIF")
        (entry,) = json.loads(fetched.stdout)
        archive = INSTALLED / entry["filename"]
        assert "sha512-" + b64encode(sha512(archive.read_bytes()).digest()).decode() == INTEGRITY
        with tarfile.open(archive) as packed:
            packed.extractall(INSTALLED, filter="data")
        archive.unlink()
    return folder


@contextmanager
def viewer(orthanc_url: str) -> Iterator[str]:
    """The viewer's URL; it serves the archive's DICOMweb under the same origin."""
    folder = install()
    archive = httpx.Client(base_url=orthanc_url, timeout=60)

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith((DICOM_WEB, "/wado")):
                answer = archive.get(self.path, headers={"Accept": self.headers["Accept"]})
                self._send(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)
            elif path == "/app-config.js":
                self._send(200, "text/javascript", f"window.config = {json.dumps(CONFIGURATION)};".encode())
            else:
                if not (folder / path[1:]).is_file():
                    self.path = "/index.html"
                super().do_GET()

        def _send(self, status: int, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *request: Handler(*request, directory=os.fspath(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        archive.close()


@contextmanager
def study(folder: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Orthanc with an example photo and what the gateway answered; its URL, the study, and the server's JSON answer."""
    orthanc = Orthanc(folder)
    try:
        with serving(Settings(model_store=ROOT / "model_store", precision=Precision.INT8)) as live:
            live.wait_until_ready()
            chosen = settings(
                folder,
                live,
                orthanc,  # type: ignore[arg-type]
                gateway_port=orthanc.caries_port,
                gateway_peers=(parse_peer("ORTHANC"),),
            )
            with Image.open(PICTURE) as picture:
                photo = dicom_files.jpeg(picture.convert("RGB"), StudyInstanceUID="1.2.4", PatientName="Example")
            with running(chosen):
                assert store(orthanc.port, photo, called="ORTHANC") == [0]
                wait_for(lambda: len(orthanc.instances()) == 3, seconds=60)
            headers = {"Content-Type": "application/dicom", "Accept": "application/json"}
            answer = live.client.post("/detect", content=photo, headers=headers).json()
        yield f"http://127.0.0.1:{orthanc.http_port}", "1.2.4", answer
    finally:
        orthanc.kill()
        orthanc.client.close()


@contextmanager
def opened(browser: Browser, orthanc_url: str, study_uid: str) -> Iterator[Page]:
    """A study in the viewer, with a thumbnail of each series."""
    with viewer(orthanc_url) as url, browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"{url}/viewer?StudyInstanceUIDs={study_uid}")
        for notice in ("Skip all", "Confirm and hide"):
            page.get_by_text(notice).click()
        yield page


def series(page: Page, modality: str) -> None:
    """Show the series of a modality."""
    page.locator("[data-cy^=study-browser-thumbnail]").filter(has_text=modality).dblclick()


def drawn_boxes(page: Page, number: int) -> list[tuple[float, float, float, float]]:
    """The corners (left, top, right, bottom) of that many boxes over the photo, in pixels of the screen."""
    lines = page.locator("svg.svg-layer polyline")
    lines.nth(number - 1).wait_for(state="attached")
    boxes = []
    for line in lines.all():
        points = [[float(part) for part in point.split(",")] for point in _points(line.get_attribute("points") or "")]
        across, down = zip(*points, strict=True)
        boxes.append((min(across), min(down), max(across), max(down)))
    return boxes


def _points(text: str) -> list[str]:
    """`X, Y X, Y` as `X,Y`."""
    return text.replace(", ", ",").split()


def main() -> int:
    """Take the screenshot."""
    SCREENSHOT.parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        study(Path(folder)) as (url, uid, answer),
        start_chromium() as browser,
        opened(browser, url, uid) as page,
    ):
        series(page, "SR")
        drawn_boxes(page, len(answer["detections"]))
        page.get_by_text("No", exact=True).click()
        page.screenshot(path=SCREENSHOT, type="jpeg", quality=QUALITY)
    return 0


if __name__ == "__main__":
    sys.exit(main())
