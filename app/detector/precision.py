"""Which TFLite model of a bundle to run: the one of the setting, or the faster one on this processor."""

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.detector.bundle import Bundle
from app.process.cores import processor_model
from app.settings import Precision

logger = logging.getLogger(__name__)

STATE_FILE = "precision.json"
"""In the state folder: `Times` by processor and SHA-256 of the bundle."""

Times = dict[str, float]
"""Milliseconds of one inference by precision."""


class PrecisionReason(StrEnum):
    """Why a precision runs."""

    SETTING = "setting"
    ONLY_MODEL = "only_model"
    TENSORFLOW = "tensorflow"
    MEASURED = "measured"
    MEASURED_EARLIER = "measured_earlier"


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """The precision that runs, why, and the times of one inference by a worker, if they were measured."""

    precision: Precision
    reason: PrecisionReason
    float32_ms: float | None = None
    int8_ms: float | None = None


class PrecisionChooser:
    """Chooses the precision of a bundle's workers, once for all of them. Safe to call from any thread.

    Attributes:
        choice: None until it is measured.
    """

    def __init__(self, bundle: Bundle, setting: Precision, *, litert: bool, state: Path | None = None) -> None:
        """Choose without measuring, if possible.

        Args:
            bundle: its TFLite models are compared.
            setting: chosen, unless it is `auto`.
            litert: whether it is certain that LiteRT runs; TensorFlow runs float32.
            state: folder of earlier times; None for none.
        """
        self._name = f"{bundle.name} {bundle.version}"
        self._key = f"{processor_model()} {bundle.sha256}"
        self._file = state / STATE_FILE if state else None
        self._lock = threading.Lock()
        self.choice: PrecisionChoice | None = None
        if setting is not Precision.AUTO:
            self.choice = PrecisionChoice(setting, PrecisionReason.SETTING)
        elif not litert:
            self.choice = PrecisionChoice(Precision.FLOAT32, PrecisionReason.TENSORFLOW)
        elif len(bundle.precisions) == 1:
            self.choice = PrecisionChoice(Precision(bundle.precisions[0]), PrecisionReason.ONLY_MODEL)
        elif (times := self._known()) is not None:
            self._choose(times, PrecisionReason.MEASURED_EARLIER)

    @property
    def chosen(self) -> Precision | None:
        """The precision; None until it is measured."""
        return self.choice.precision if self.choice else None

    def choose(self, time: Callable[[], Times]) -> Precision:
        """The precision; the first caller's function measures it, while the others wait."""
        with self._lock:
            if self.choice is None:
                times = time()
                self._keep(times)
                return self._choose(times, PrecisionReason.MEASURED).precision
            return self.choice.precision

    def _choose(self, times: Times, reason: PrecisionReason) -> PrecisionChoice:
        float32, int8 = times[Precision.FLOAT32], times[Precision.INT8]
        precision = Precision.INT8 if int8 < float32 else Precision.FLOAT32
        logger.info(
            "%s runs %s: float32 takes %.1f ms, int8 %.1f ms (%s)", self._name, precision, float32, int8, reason
        )
        self.choice = PrecisionChoice(precision, reason, float32, int8)
        return self.choice

    def _known(self) -> Times | None:
        """Times that an earlier start measured."""
        try:
            times = self._read()[self._key]
            return {name: float(times[name]) for name in (Precision.FLOAT32, Precision.INT8)}
        except (LookupError, TypeError, ValueError):
            return None

    def _read(self) -> dict[str, Times]:
        """The file's content; empty if there is none or it is damaged."""
        try:
            content = json.loads(self._file.read_text(encoding="utf-8")) if self._file else {}
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _keep(self, times: Times) -> None:
        if self._file is None:
            return
        partial = self._file.with_name(f".{STATE_FILE}.{os.getpid()}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial.touch(mode=0o600)
            partial.write_text(json.dumps({**self._read(), self._key: times}, indent=2) + "\n", encoding="utf-8")
            partial.replace(self._file)
        except OSError as error:
            logger.warning("%s cannot be written, so the next start measures again: %s", self._file, error.strerror)
