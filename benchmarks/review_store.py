"""A large review store: the time of the next photo of a queue, and of a reading written by several writers.

    python -m benchmarks.review_store --store /tmp/reviews --photos 100000 --out review_store.json
    python -m benchmarks.review_store --store postgresql://USER@HOST/DATABASE --photos 100000

The store must be empty. It is filled with photos with stand-in pictures of 10 kB. The half that every queue begins with
has one blind reading, all by the same reader, whose next photo is behind them, the longest way through the index.
PostgreSQL is vacuumed. Then threads write first readings of the others, each its own photos. Prints one JSON object
with milliseconds: p50, p99 and max of each order of the queue and of the writes.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

from app.errors import OutputError
from app.reviews.database import Database, _postgresql
from app.reviews.labels import CARIES, LabelledBox, Labels, ReaderVerdict, State
from app.reviews.schema import READING, Base
from app.reviews.store import Entry, Order, ReviewStore
from app.settings import Blind, Settings, StoreLocation

PICTURE_BYTES = 10_000
WIDTH, HEIGHT = 1600, 1200
READER = "reader"
"""Who has read half of the photos."""

TEETH = 12
PAGE = 1_000
"""Photos of one transaction while the store is filled."""

MAX_NEXT_MS, MAX_WRITE_P99_MS = 50.0, 20.0


def labels(number: int) -> Labels:
    """Twelve boxes, of which some are carious."""
    boxes = [
        LabelledBox(CARIES if place <= number % 3 else "normal", 100.0 * place + 50, 400.0, 100.0 * place + 140, 600.0)
        for place in range(TEETH)
    ]
    return Labels(ReaderVerdict.CARIOUS, tuple(boxes))


def rows(numbers: Sequence[int], total: int, chance: random.Random) -> dict[str, list[dict[str, Any]]]:
    """The rows of photos by table; the first half of all are read once."""
    now = datetime.now(UTC)
    found: dict[str, list[dict[str, Any]]] = {"photos": [], "pictures": [], "findings": [], "records": []}
    for number in numbers:
        is_read = number <= total // 2
        picture = os.urandom(PICTURE_BYTES)
        # The photos that were read come first in every order.
        rank = (1 if is_read else 0) + chance.random()
        boxes = labels(number).boxes
        found["photos"].append(
            {
                **{"id": number, "sha256": hashlib.sha256(picture).hexdigest(), "media_type": "image/jpeg"},
                **{"width": WIDTH, "height": HEIGHT, "kept_at": now, "kept_by": READER, "patient": f"p{number // 4}"},
                **{"view": "front", "state": State.WAITING, "readings": int(is_read)},
                **{"first_reader": READER if is_read else None, "uncertainty": rank, "disagreement": rank},
            }
        )
        found["pictures"].append({"photo_id": number, "data": picture})
        found["findings"].append(
            {
                **{"photo_id": number, "model": "stand-in", "model_version": 1, "model_sha256": 64 * "0"},
                **{"operating_point": "balanced", "score_threshold": 0.5, "max_boxes": 5},
                **{"verdict": "caries_suspected", "teeth": [[*box[1:], {CARIES: 0.5}] for box in boxes]},
            }
        )
        if is_read:
            found["records"].append(
                {
                    **{"photo_id": number, "kind": READING, "reader": READER, "version": 1, "verdict": "carious"},
                    **{"boxes": [box.as_dict() for box in boxes], "view": None, "note": None, "blind": True},
                    **{"created_at": now, "updated_at": now},
                }
            )
    return found


def fill(location: StoreLocation, photos: int) -> None:
    """Fill an empty store; raises OutputError if it is not empty."""
    chance = random.Random(2026)
    with closing(ReviewStore(location)) as store:
        if sum(store.counts().values()):
            raise OutputError(f"{location} is not empty; name an empty folder or database")
    with closing(Database(location)) as database:
        for start in range(1, photos + 1, PAGE):
            numbers = range(start, min(start + PAGE, photos + 1))
            with database.writing() as session:
                for table, content in rows(numbers, photos, chance).items():
                    if content:
                        session.execute(insert(Base.metadata.tables[table]), content)
    if location.url is not None:  # what its autovacuum does within minutes, and would do while it is measured
        with _postgresql(location.url).connect() as new:
            connection = new.execution_options(isolation_level="AUTOCOMMIT", writes=True)
            for command in ("VACUUM ANALYZE", "CHECKPOINT"):
                connection.execute(text(command))


def summary(milliseconds: Sequence[float]) -> dict[str, float]:
    """Figures of the times."""
    ordered = sorted(milliseconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {"p50": round(statistics.median(ordered), 2), "p99": round(p99, 2), "max": round(ordered[-1], 2)}


def timed(action: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def next_photo(store: ReviewStore, order: Order, reader: str, rounds: int) -> dict[str, float]:
    """Times of a reader's next photo, read as the page reads it: its entry in the queue, then the photo."""

    def fetch() -> None:
        (entry,) = store.queue(reader=reader, state=State.WAITING, order=order, limit=1)
        store.photo(entry.id)

    return summary([timed(fetch) for _ in range(rounds)])


def write_readings(store: ReviewStore, numbers: Iterator[int], reviews: int, writers: int) -> dict[str, float]:
    """Times of readings by threads at the same time, and readings per second."""
    times: list[float] = []
    share = [list(itertools.islice(numbers, reviews // writers)) for _ in range(writers)]
    ready = threading.Barrier(writers + 1)

    def write(name: str, photos: Sequence[int]) -> None:
        ready.wait()
        for photo_id in photos:
            entry = Entry(labels=labels(photo_id), reader=name)
            times.append(timed(lambda: store.write_reading(photo_id, entry)))  # noqa: B023

    threads = [threading.Thread(target=write, args=(f"writer {k}", part)) for k, part in enumerate(share)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if len(times) < sum(map(len, share)):
        raise OutputError("a writer failed; its error is above")
    return summary(times) | {"per_second": round(len(times) / (time.perf_counter() - started), 1)}


def measure(location: StoreLocation, *, photos: int, reviews: int, writers: int, rounds: int) -> dict[str, Any]:
    """Fill the store and measure it."""
    filling_s = timed(lambda: fill(location, photos)) / 1000
    unread = list(range(photos // 2 + 1, photos + 1))
    random.Random(7).shuffle(unread)
    if len(unread) < reviews:
        raise OutputError(f"{len(unread)} photos are unread; {reviews} are to be")
    with closing(ReviewStore(location, Blind.EMPTY)) as store:
        queues = {
            f"{order} {reader}": next_photo(store, order, reader, rounds)
            for order in Order
            for reader in (READER, "another")
        }
        writes = write_readings(store, iter(unread), reviews, writers)
    return {
        **{"database": "sqlite" if location.url is None else "postgresql", "photos": photos},
        **{"filling_s": round(filling_s, 1), "next_photo_ms": queues, "write_ms": writes, "writers": writers},
        "reached": {
            f"next photo under {MAX_NEXT_MS:g} ms": max(found["p99"] for found in queues.values()) < MAX_NEXT_MS,
            f"reading written under {MAX_WRITE_P99_MS:g} ms": writes["p99"] < MAX_WRITE_P99_MS,
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="empty folder, or URL of an empty PostgreSQL database")
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--reviews", type=int, default=2_000, help="readings to write")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=200, help="next photos of each queue")
    parser.add_argument("--out", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    location = Settings.read({}, {"reviews": parsed.store}).reviews
    assert location is not None, "the flag is given"
    found = measure(
        location, photos=parsed.photos, reviews=parsed.reviews, writers=parsed.writers, rounds=parsed.rounds
    )
    text = json.dumps(found, indent=1)
    print(text)
    if parsed.out:
        parsed.out.write_text(text + "\n", encoding="utf-8")
    return 0 if all(found["reached"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
