"""The circle of reviews once, with real photos and a real server: keep, read twice, adjudicate, export, train, compare,
install or refuse.

    python -m benchmarks.review_circle --data DIR --out OUT [--photos 60] [--steps 30] [--seed 0]

Some photos are kept by the server and read through its API by two made-up readers, who know the labels of the data set
but err at random. As many others train the first detector, which the server serves. The next one is trained on both,
except the reviewed photos of the test. The trainings are far too short for a useful detector; they show the steps.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving import ROOT, serving
from training.data.annotations import CLASS_IDS, AnnotatedPhoto, read_annotated_photos

MISSED, INVENTED = 0.06, 0.03
"""Shares of carious teeth that a reader calls sound, and of sound teeth called carious."""

JITTER = 0.03
"""Largest shift of an edge, as a share of the box."""

SHORT = (
    *("batch_size=8", "warmup_steps=5", "learning_rate_base=0.05", "batch_norm_decay=0.6"),
    *("rendered_photos=0", "other_pictures=0", "rotation=0.0", "zoom_out=0.0"),
    *('data_augmentation=["random_horizontal_flip {}"]', "nms_score_threshold=0.001"),
)
"""Of the recipe, so that a training of a few steps finds anything."""

READERS = ("reader-1", "reader-2")
NAMES = {class_id: name for name, class_id in CLASS_IDS.items()}


def choose(photos: Sequence[AnnotatedPhoto], number: int, seed: int) -> tuple[list[AnnotatedPhoto], ...]:
    """About `number` photos to review and as many to train the first detector on, which share no group."""
    groups = sorted({photo.group for photo in photos})
    random.Random(seed).shuffle(groups)
    parts: tuple[list[AnnotatedPhoto], ...] = ([], [])
    for group in groups:
        part = next((part for part in parts if len(part) < number), None)
        if part is not None:
            part += [photo for photo in photos if photo.group == group]
    return parts[0][:number], parts[1][:number]


def record(photo: AnnotatedPhoto, errs: random.Random | None = None) -> dict[str, Any]:
    """The labels of a photo as a record of the API, with a reader's errors or exactly."""
    boxes = []
    for (ymin, xmin, ymax, xmax), class_id in zip(photo.boxes.tolist(), photo.class_ids.tolist(), strict=True):
        name, shifts = NAMES[class_id], (0.0, 0.0, 0.0, 0.0)
        if errs is not None:
            if errs.random() < (MISSED if name == "caries" else INVENTED):
                name = "normal" if name == "caries" else "caries"
            shifts = (errs.uniform(-1, 1), errs.uniform(-1, 1), errs.uniform(-1, 1), errs.uniform(-1, 1))
        width, height = JITTER * (xmax - xmin), JITTER * (ymax - ymin)
        edges = {
            "xmin": (xmin + width * shifts[0]) * photo.width,
            "ymin": (ymin + height * shifts[1]) * photo.height,
            "xmax": (xmax + width * shifts[2]) * photo.width,
            "ymax": (ymax + height * shifts[3]) * photo.height,
        }
        limits = {"xmin": photo.width, "xmax": photo.width, "ymin": photo.height, "ymax": photo.height}
        box = {edge: min(max(round(value, 1), 0.0), float(limits[edge])) for edge, value in edges.items()}
        boxes.append({"class": name, "box": box})
    is_carious = any(box["class"] == "caries" for box in boxes)
    return {"version": 0, "verdict": "carious" if is_carious else "sound", "boxes": boxes}


def write_part(data: Path, photos: Sequence[AnnotatedPhoto], out: Path) -> None:
    """Copy photos and labels of the data set to a data set of their own."""
    for folder in ("img_train", "json_train"):
        (out / folder).mkdir(parents=True)
    for photo in photos:
        shutil.copy(photo.path, out / "img_train")
        shutil.copy(data / "json_train" / f"{photo.path.stem}.json", out / "json_train")
    with (out / "folds.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "group", "fold"), *((p.path.name, p.group, p.fold) for p in photos)])
    (out / "dataset.toml").write_text(f'name = "{data.name}"\nlabels = "nearly every tooth"\n', encoding="utf-8")


def training(*arguments: str | Path) -> int:
    """Run a command of the training, and return its exit status."""
    print("$ python -m training", " ".join(map(str, arguments)), flush=True)
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode


def review(client: httpx.Client, photos: Sequence[AnnotatedPhoto], seed: int) -> Iterator[str]:
    """Keep the photos, read them twice and settle disputes; yields what was done."""
    numbers: dict[int, AnnotatedPhoto] = {}
    for photo in photos:
        query = {"reader": "desk", "patient": photo.group}
        answer = client.post("/reviews/photos", params=query, content=photo.path.read_bytes()).raise_for_status()
        numbers[answer.json()["id"]] = photo
    yield f"POST /reviews/photos: {len(numbers)} kept"
    for reader in READERS:
        errs = random.Random(f"{seed} {reader}")
        for number, photo in numbers.items():
            address = f"/reviews/photos/{number}/reading"
            client.put(address, params={"reader": reader}, json=record(photo, errs)).raise_for_status()
        yield f"PUT /reviews/photos/N/reading: {len(numbers)} by {reader}"
    query = {"reader": "senior", "state": "disputed", "limit": "200"}
    disputed = client.get("/reviews/photos", params=query).raise_for_status().json()["photos"]
    for entry in disputed:
        address = f"/reviews/photos/{entry['id']}/consensus"
        exact = record(numbers[entry["id"]])
        client.put(address, params={"reader": "senior"}, json=exact).raise_for_status()
    yield f"PUT /reviews/photos/N/consensus: {len(disputed)} disputed photos settled"
    yield f"GET /reviews: {json.dumps(client.get('/reviews').json())}"
    yield f"GET /reviews/agreement: {json.dumps(client.get('/reviews/agreement').json())}"


def main() -> None:
    """Run the circle and print each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--photos", type=int, default=60, help="kept for review, and as many others for the first model"
    )
    parser.add_argument("--steps", type=int, default=30, help="of each of the two trainings")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True)
    reviewed, first = choose(read_annotated_photos(arguments.data), arguments.photos, arguments.seed)
    write_part(arguments.data, first, out / "first")
    short = [f"num_steps={arguments.steps}", *SHORT, "model_name=circle"]
    recipe = [part for value in short for part in ("--set", value)]
    if training("run", "--data", out / "first", "--out", out / "run", *recipe):
        raise SystemExit("the first training failed")
    training("install", out / "run" / "bundle", "--store", out / "store")
    flags = ("--model-store", str(out / "store"), "--reviews", str(out / "reviews"), "--reviews-blind", "empty")
    with serving(*flags) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        print("$ caries serve", *flags, flush=True)
        for line in review(client, reviewed, arguments.seed):
            print(line, flush=True)
        places: list[str | Path] = [
            "--reviews",
            out / "reviews",
            "--model-store",
            out / "store",
            "--data",
            out / "first",
        ]
        status = training("improve", *places, "--out", out / "improved", *recipe)
        print(f"exit status {status}: {'installed' if status == 0 else 'refused' if status == 3 else 'failed'}")
        print(f"POST /models/reload: {client.post('/models/reload').raise_for_status().text}")
        models = client.get("/models").raise_for_status().json()
        for entry in models["models"]:
            print(f"GET /models: {entry['name']} {entry['version']}{', live' if entry['live'] else ''}")
        for refused in models["refused"]:
            print(f"GET /models: refused {refused['new']['name']} {refused['new']['version']}: {refused['reason']}")


if __name__ == "__main__":
    main()
