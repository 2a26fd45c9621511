"""A running server's verdicts on the photos of a data folder and on pictures without teeth.

    python -m benchmarks.verdicts --data DIR [--address http://127.0.0.1:8000]

`--data` is a folder in the layout of the training data. The figures are optimistic for photos that the detector was
trained on; `verdicts.md` of `python -m training review` has those of the cross-validation. The pictures without teeth
are those of `benchmarks.other_pictures`. Exits 1 if a request fails or such a picture is answered `no_caries_found`.
"""

from __future__ import annotations

import argparse
import collections
import sys
from pathlib import Path

import httpx

from app.photo.encoding import encode
from app.screening import Verdict
from benchmarks.other_pictures import pictures
from training.data.annotations import CLASS_IDS, read_annotated_photos


def main() -> int:
    """Print a table."""
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
            labelled = "caries" if (photo.class_ids == CLASS_IDS["caries"]).any() else "none"
            table[f"real, {labelled} labelled"][str(ask(photo.path.read_bytes())["verdict"])] += 1
        for kind, name, picture in pictures():
            verdict = ask(encode(picture, "image/png"))["verdict"]
            table[f"other: {kind}"][str(verdict)] += 1
            if verdict == Verdict.NO_CARIES_FOUND:
                failed += 1
                print(f"{kind}, {name}: {verdict}")
    verdicts = [*Verdict, *sorted({name for row in table.values() for name in row} - set(Verdict))]
    print("\n| photos | " + " | ".join(verdicts) + " |")
    print("|---" * (len(verdicts) + 1) + "|")
    for kind, row in sorted(table.items()):
        print(f"| {kind} | " + " | ".join(str(row[verdict]) for verdict in verdicts) + " |")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
