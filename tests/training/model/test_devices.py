import pytest

from training.model.devices import DeviceError, check_batch_size, worker_count


def test_a_batch_that_cannot_be_shared_equally_is_refused() -> None:
    check_batch_size(16, 4)
    with pytest.raises(DeviceError, match="batch_size is 16, allowed is a multiple of 3, the number of devices"):
        check_batch_size(16, 3)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ('{"cluster": {"worker": ["a:1"]}}', 1),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', 2),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}}', 3),
    ],
)
def test_workers_are_counted(monkeypatch, text, count) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert worker_count() == count


@pytest.mark.parametrize("text", ["two", "[]", '{"cluster": 3}'])
def test_an_invalid_tf_config_is_refused(monkeypatch, text) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(DeviceError, match="TF_CONFIG is not JSON"):
        worker_count()
