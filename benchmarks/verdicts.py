"""Posts every photo of a data folder, and pictures of other things, to a running server and tables the verdicts.

    python benchmarks/verdicts.py --data DIR [--address http://127.0.0.1:8000]

`--data` is a folder in the layout of the training data. The pictures of other things are made here (noise, walls) or
come with scikit-image. Exits 1 if any request fails or a picture without teeth is answered `no_caries_found`.
"""

from __future__ import annotations

import argparse
import collections
import sys
from pathlib import Path

import httpx
import numpy as np
import skimage.data

from app.images import encode
from app.screening import Verdict
from training.annotations import CLASS_IDS, read_annotated_photos


def pictures_without_teeth() -> dict[str, np.ndarray]:
    """Name to uint8 `[height, width, 3]`."""
    random = np.random.default_rng(0)
    ramp = np.linspace(150, 190, 640)[None, :, None] * np.array([1.0, 0.98, 0.94])
    plaster = np.clip(np.broadcast_to(ramp, (480, 640, 3)) + random.normal(0, 3, (480, 640, 1)), 0, 255)
    pictures = {
        "noise": random.integers(0, 256, (480, 640, 3), np.uint8),
        "plain grey wall": np.full((480, 640, 3), 170, np.uint8),
        "plastered wall": plaster.astype(np.uint8),
        "black frame": np.zeros((480, 640, 3), np.uint8),
        "white frame": np.full((480, 640, 3), 255, np.uint8),
    }
    for name in ("cat", "coffee", "astronaut", "rocket", "camera", "brick", "grass", "coins"):
        picture = getattr(skimage.data, name)()
        pictures[name] = np.ascontiguousarray(picture if picture.ndim == 3 else np.stack([picture] * 3, axis=2))
    return pictures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    arguments = parser.parse_args()
    failed = 0
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    with httpx.Client(base_url=arguments.address, timeout=60, headers={"Accept": "application/json"}) as client:

        def ask(data: bytes) -> dict[str, object]:
            nonlocal failed
            response = client.post("/detect", content=data, headers={"Content-Type": "application/octet-stream"})
            if response.status_code != 200:
                failed += 1
                print(f"{response.status_code}: {response.text}", file=sys.stderr)
                return {"verdict": f"error {response.status_code}", "reasons": []}
            answer: dict[str, object] = response.json()
            return answer

        for photo in read_annotated_photos(arguments.data):
            shown = "real, caries labelled" if (photo.class_ids == CLASS_IDS["caries"]).any() else "real, none labelled"
            fold = "held out" if photo.fold == 0 else "trained on"
            table[f"{shown}, {fold}"][str(ask(photo.path.read_bytes())["verdict"])] += 1
        for name, picture in pictures_without_teeth().items():
            answer = ask(encode(picture, "image/png"))
            table["no teeth"][str(answer["verdict"])] += 1
            print(f"{name}: {answer['verdict']} {answer['reasons']}")
            failed += answer["verdict"] == Verdict.NO_CARIES_FOUND
    verdicts = [*Verdict, *sorted({name for row in table.values() for name in row} - set(Verdict))]
    print("\n| photos | " + " | ".join(verdicts) + " |")
    print("|---" * (len(verdicts) + 1) + "|")
    for kind, row in sorted(table.items()):
        print(f"| {kind} | " + " | ".join(str(row[verdict]) for verdict in verdicts) + " |")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
