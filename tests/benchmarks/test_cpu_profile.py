"""The profile of a server by library."""

import pytest

from benchmarks import cpu_profile


def test_a_profile_adds_up_the_time_of_libraries() -> None:
    report = """
# Samples: 3K of event 'cpu-clock'
    42.50%  libpython3.11.so.1.0
    20.00%  _jpeg.cpython-311-x86_64-linux-gnu.so
     7.50%  [kernel.kallsyms]
     0.30%  libscipy_openblas64_-32a4b2a6.so
"""
    found = cpu_profile.shares(report)
    assert found == pytest.approx(
        {"libpython3": 0.425, "_jpeg": 0.2, "[kernel.kallsyms]": 0.075, "libscipy_openblas64_": 0.003}
    )
    assert cpu_profile.table({"server": {"libpython3": 2.0, "_jpeg": 1.0, "libm": 0.01}}).splitlines()[2:] == [
        "| server | all | 3.01 |",
        "| | libpython3 | 2.00 |",
        "| | _jpeg | 1.00 |",
    ]
