"""Which precision runs: chosen from fixed times, and by a real server."""

import threading
from pathlib import Path

import pytest

from app.detector import precision
from app.detector.bundle import FLOAT32_MODEL, INT8_MODEL, Bundle, read_bundle
from app.detector.precision import STATE_FILE, PrecisionChoice, PrecisionChooser, PrecisionReason, Times
from app.process.cores import processor_model
from app.settings import Precision, RuntimeKind, Settings
from tests.app.api.live_server import serving, write_bundle

VNNI = {"float32": 57.0, "int8": 36.0}
AVX2 = {"float32": 81.0, "int8": 103.0}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Has two TFLite files."""
    path = write_bundle(tmp_path)
    for name in (FLOAT32_MODEL, INT8_MODEL):
        (path / name).touch()
    return read_bundle(path, verify=False)


def never() -> Times:
    raise AssertionError("measured although the choice was known")


@pytest.mark.parametrize(("times", "expected"), [(VNNI, Precision.INT8), (AVX2, Precision.FLOAT32)])
def test_auto_runs_the_faster_one(bundle: Bundle, times: Times, expected: Precision) -> None:
    chooser = PrecisionChooser(bundle, Precision.AUTO, litert=True)
    assert chooser.choice is None
    assert chooser.chosen is None
    assert chooser.choose(lambda: times) is expected
    assert chooser.choice == PrecisionChoice(expected, PrecisionReason.MEASURED, times["float32"], times["int8"])
    assert chooser.choose(never) is expected


@pytest.mark.parametrize("setting", [Precision.FLOAT32, Precision.INT8])
def test_a_pinned_precision_is_not_measured(bundle: Bundle, setting: Precision) -> None:
    chooser = PrecisionChooser(bundle, setting, litert=True)
    assert chooser.choice == PrecisionChoice(setting, PrecisionReason.SETTING)
    assert chooser.choose(never) is setting


def test_tensorflow_runs_float32(bundle: Bundle) -> None:
    chooser = PrecisionChooser(bundle, Precision.AUTO, litert=False)
    assert chooser.choice == PrecisionChoice(Precision.FLOAT32, PrecisionReason.TENSORFLOW)


@pytest.mark.parametrize(("file", "left"), [(INT8_MODEL, Precision.FLOAT32), (FLOAT32_MODEL, Precision.INT8)])
def test_a_bundle_with_one_model_runs_it(bundle: Bundle, file: str, left: Precision) -> None:
    (bundle.path / file).unlink()
    chooser = PrecisionChooser(bundle, Precision.AUTO, litert=True)
    assert chooser.choice == PrecisionChoice(left, PrecisionReason.ONLY_MODEL)


def test_the_times_are_kept_for_this_processor_and_bundle(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "new" / "state"

    def chooser(of: Bundle = bundle) -> PrecisionChooser:
        return PrecisionChooser(of, Precision.AUTO, litert=True, state=state)

    chooser().choose(lambda: VNNI)
    assert (state / STATE_FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in state.iterdir()] == [STATE_FILE]
    assert chooser().choice == PrecisionChoice(Precision.INT8, PrecisionReason.MEASURED_EARLIER, 57.0, 36.0)
    other = write_bundle(tmp_path, version=2)
    for name in (FLOAT32_MODEL, INT8_MODEL):
        (other / name).touch()
    assert chooser(read_bundle(other, verify=False)).choice is None
    monkeypatch.setattr(precision, "processor_model", lambda: "another")
    assert chooser().choice is None
    chooser().choose(lambda: AVX2)
    assert chooser().chosen is Precision.FLOAT32
    monkeypatch.undo()
    assert chooser().chosen is Precision.INT8, "the times of the first processor are kept"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"%s": 3}', '{"%s": {"int8": 1}}', '{"%s": {"int8": 1, "float32": "x"}}']
)
def test_damaged_times_are_measured_again(bundle: Bundle, tmp_path: Path, text: str) -> None:
    key = f"{processor_model()} {bundle.sha256}"
    (tmp_path / STATE_FILE).write_text(text.replace("%s", key), encoding="utf-8")
    for reason in (PrecisionReason.MEASURED, PrecisionReason.MEASURED_EARLIER):
        chooser = PrecisionChooser(bundle, Precision.AUTO, litert=True, state=tmp_path)
        assert chooser.choose(lambda: VNNI) is Precision.INT8
        assert chooser.choice is not None
        assert chooser.choice.reason is reason


def test_a_folder_that_cannot_be_written_does_not_matter(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    chooser = PrecisionChooser(bundle, Precision.AUTO, litert=True, state=tmp_path / "file")
    assert chooser.choose(lambda: VNNI) is Precision.INT8
    assert "precision.json cannot be written, so the next start measures again" in caplog.text


def test_one_worker_measures_and_the_others_wait(bundle: Bundle) -> None:
    chooser = PrecisionChooser(bundle, Precision.AUTO, litert=True)
    begun, gate, measured, chosen = threading.Event(), threading.Event(), [], []

    def measure() -> Times:
        measured.append(threading.current_thread())
        begun.set()
        assert gate.wait(10)
        return VNNI

    threads = [threading.Thread(target=lambda: chosen.append(chooser.choose(measure))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert not chosen
    gate.set()
    for thread in threads:
        thread.join(10)
    assert chosen == [Precision.INT8] * 3
    assert len(measured) == 1


@pytest.mark.slow
def test_models_says_what_runs_and_why(shipped_bundle: Bundle, tmp_path: Path) -> None:
    found = []
    for setting in (Precision.AUTO, Precision.AUTO, Precision.INT8):
        store = shipped_bundle.path.parents[1]
        settings = Settings(model_store=store, runtime=RuntimeKind.LITERT, precision=setting, state=tmp_path)
        with serving(settings) as live:
            live.wait_until_ready()
            listed = live.client.get("/models").json()["models"]
            found += [entry["precision"] for entry in listed if entry["live"]]
            assert {entry["precision"] for entry in listed if not entry["live"]} <= {None}
    first, second, pinned = found
    assert first["reason"] == "measured"
    assert first["float32_ms"] > 0
    assert first["int8_ms"] > 0
    assert first["precision"] == min(("float32", "int8"), key=lambda name: first[f"{name}_ms"])
    assert second == {**first, "reason": "measured_earlier"}
    assert pinned == {"precision": "int8", "reason": "setting", "float32_ms": None, "int8_ms": None}
