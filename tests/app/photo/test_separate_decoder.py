"""The limits of a process that decodes one photo."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.app.photo.pictures import DATA

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


LIMITS = """
import resource
from app.photo.separate_decoder import set_up
set_up(10**9, 30, 10**8)
print([resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_CORE, resource.RLIMIT_CPU, resource.RLIMIT_AS)])
print(open("/proc/self/oom_score_adj").read())
"""


@pytest.mark.parametrize(
    ("before", "after"), [("ulimit -S -c unlimited", [1, 30, 10**9]), ("ulimit -t 20 -v 800000", [1, 20, 819_200_000])]
)
def test_limits_are_set_and_lower_ones_stay(before: str, after: list[int]) -> None:
    command = f"{before}; exec '{sys.executable}' -c '{LIMITS}'"
    done = subprocess.run(["bash", "-c", command], cwd=DATA.parents[1], capture_output=True, text=True, check=True)
    limits, score = done.stdout.split("\n", 1)
    assert limits == str(after)
    assert int(score) == 1000
