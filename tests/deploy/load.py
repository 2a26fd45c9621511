"""Clients that send photos while servers are ended, killed and updated."""

import threading
from collections import Counter
from typing import Any

import httpx

from tests.app.api.live_server import make_photo, wait_for

CLIENTS = 3


class Load:
    """Clients that send photos one after the other, until the block ends.

    Attributes:
        statuses: how often each was answered; 0 for an answer that was cut off, -1 for none.
        models: versions that answered.
        refused: the content of the last answer that is not 200.
    """

    def __init__(self, address: str, key: str | None = None) -> None:
        self.statuses: Counter[int] = Counter()
        self.models: Counter[str] = Counter()
        self.refused: dict[str, Any] = {}
        self._address, self._done = address, threading.Event()
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers(self, more: int, seconds: float = 60) -> None:
        """Wait until so many more photos are answered."""
        end = self.statuses[200] + more
        wait_for(lambda: self.statuses[200] >= end, seconds)

    def _send(self) -> None:
        photo = make_photo(640, 480)
        with httpx.Client(timeout=150, headers=self._headers) as client:
            while not self._done.is_set():
                try:
                    answer = client.post(f"{self._address}/detect?format=json", content=photo)
                except httpx.TransportError as error:
                    self.statuses[0 if "complete message body" in str(error) else -1] += 1
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.models[str(answer.json()["model"]["version"])] += 1
                else:
                    self.refused = answer.json()
