"""What the page adds to a request on a busy server.

    python -m benchmarks.page_under_load --pairs 200 --out page_under_load.json

Eight clients post photos without a pause. Meanwhile a photo is dropped onto the page in Chromium, timed until a frame
shows its verdict, boxes and picture, and then posted to `/detect` by a ninth client, timed until the end of the answer;
and so on in turn. Prints both medians and their ratio.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.serving import ROOT, Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHOTO = ROOT / "examples" / "img_train" / "Folder_0001.jpg"
CLIENTS = 8
MAX_RATIO = 1.3
WARM_UP = 3
"""Pairs that are not counted."""

MAX_LOAD_S = 3600

DROP = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "photo.jpg", { type: "image/jpeg" }));
  const isShown = () => {
    const picture = document.querySelector("#viewer img");
    const boxes = document.querySelectorAll("#viewer .a9s-annotation").length;
    const isScreened = document.querySelector("#photos :is(.caries_suspected, .no_caries_found, .not_assessable)");
    const marks = document.querySelectorAll("#marks button").length;
    return isScreened && picture?.complete && picture.naturalWidth && boxes === marks;
  };
  const started = performance.now();
  document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer }));
  await new Promise((resolve) => {
    const look = () => {
      if (!isShown()) return;
      observer.disconnect();
      removeEventListener("load", look, true);
      requestAnimationFrame(resolve);
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { attributes: true, childList: true, subtree: true });
    addEventListener("load", look, true);
  });
  return performance.now() - started;
}"""


@contextmanager
def loaded(server: Server, photo: Path, clients: int) -> Iterator[None]:
    """Clients that post the photo without a pause, in a separate process."""
    command = [sys.executable, "-m", "benchmarks.load", "--url", f"{server.url}/detect", "--photo", str(photo)]
    command += ["--clients", str(clients), "--seconds", str(MAX_LOAD_S)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError("the load ended before the measurement")
    finally:
        process.terminate()
        process.wait(30)


def time_in_page(page: Page, photo: bytes) -> float:
    """Milliseconds from the drop to the frame that shows the result."""
    shown_ms: float = page.evaluate(DROP, base64.b64encode(photo).decode())
    page.click("#remove-all")
    page.locator("#photos li").first.wait_for(state="detached")
    return shown_ms


def time_of_client(connection: http.client.HTTPConnection, photo: bytes) -> float:
    """Milliseconds from sending the photo to the end of the answer."""
    connection.close()  # the server may have closed it meanwhile, for being idle
    connection.connect()
    started = time.perf_counter()
    connection.request("POST", "/detect", photo, {"Content-Type": "image/jpeg", "Accept": "application/json"})
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise RuntimeError(f"the photo was answered {response.status}")
    return (time.perf_counter() - started) * 1000


def measure(pairs: int, photo: Path, clients: int) -> dict[str, Any]:
    """The medians and 90 % quantiles of both, in ms, and the ratio of the medians."""
    from playwright.sync_api import sync_playwright

    data = photo.read_bytes()
    of_page: list[float] = []
    of_client: list[float] = []
    with serving() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(base_url=server.url, locale="en-GB")
        page.goto("/")
        page.locator("#points button").first.wait_for(state="attached")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with loaded(server, photo, clients):
            for number in range(-WARM_UP, pairs):
                in_page, by_client = time_in_page(page, data), time_of_client(connection, data)
                if number >= 0:
                    of_page.append(in_page)
                    of_client.append(by_client)
        connection.close()
        browser.close()
    medians = {"page": statistics.median(of_page), "client": statistics.median(of_client)}
    return {
        "pairs": pairs,
        "clients": clients,
        "photo": photo.name,
        **{f"{name}_p50_ms": round(value, 1) for name, value in medians.items()},
        "page_p90_ms": round(statistics.quantiles(of_page, n=10)[-1], 1),
        "client_p90_ms": round(statistics.quantiles(of_client, n=10)[-1], 1),
        "ratio": round(medians["page"] / medians["client"], 3),
    }


def main() -> int:
    """Print the figures; 1 if the page takes more than `MAX_RATIO` times as long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    if arguments.pairs < 2:
        parser.error("--pairs must be at least 2")
    result = measure(arguments.pairs, arguments.photo, arguments.clients)
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if result["ratio"] > MAX_RATIO else 0


if __name__ == "__main__":
    sys.exit(main())
