"""The choice of a runtime."""

import pytest

from app.detector.runtimes.load import load_runtime
from app.errors import RuntimeUnavailable


def test_auto_means_litert_without_a_gpu(shipped_bundle) -> None:
    assert load_runtime(shipped_bundle, "auto").device.startswith("gpu") or (
        load_runtime(shipped_bundle, "auto").name == "litert"
    )


def test_int8_is_refused_by_tensorflow(shipped_bundle) -> None:
    with pytest.raises(RuntimeUnavailable, match="runs float32, not int8"):
        load_runtime(shipped_bundle, "tensorflow", precision="int8")
