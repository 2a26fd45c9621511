import platform

import pytest

from training.machine import Machine, cpu_name, installed_version, this_machine


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8480C\n", "Intel(R) Xeon(R) Platinum 8480C"),
        ("processor\t: 0\nHardware\t: BCM2711\n", "BCM2711"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", platform.machine()),
    ],
)
def test_the_processor_is_named_as_cpuinfo_names_it(cpuinfo, name) -> None:
    assert cpu_name(cpuinfo) == name


def test_this_machine_has_cores_memory_and_versions() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory > 2**28
    assert machine.python == platform.python_version()
    assert machine.tensorflow == (installed_version("tensorflow") or "not installed")
    assert installed_version("no-such-package") is None


def test_a_machine_is_described_in_one_line() -> None:
    line = "Xeon, 2 cores, 8 GiB, Python 3.11.2, TensorFlow 2.21.0"
    assert str(Machine("Xeon", 2, 8 * 2**30, "3.11.2", "2.21.0")) == line
