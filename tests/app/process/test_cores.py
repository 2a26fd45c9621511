"""How many cores are counted, with and without a container's limit."""

import os
from pathlib import Path

import pytest

from app.process import cores
from app.process.cores import processor_model, usable_cores


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this process's cgroup, two below the root of a temporary tree, on a machine of 16 cores."""
    membership, folder = tmp_path / "cgroup", tmp_path / "tree" / "slice" / "container"
    membership.write_text("0::/slice/container\n", encoding="ascii")
    folder.mkdir(parents=True)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "tree")
    monkeypatch.setattr(cores, "MEMBERSHIP", membership)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    return folder


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor : 0\nmodel name\t: Xeon\nflags : sse\n\nmodel name : Other\n", "Xeon"),
        ("CPU part\t: 0xd0c\nFeatures : fp\n", "0xd0c"),
        ("", "unknown"),
    ],
)
def test_the_processor_is_known_by_name_and_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str
) -> None:
    monkeypatch.setattr(cores, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    found = processor_model()
    assert f" {name}, " in found
    assert processor_model() == found
    (tmp_path / "cpuinfo").write_text(text + "\n", encoding="utf-8")
    assert processor_model() == found
    if text:
        (tmp_path / "cpuinfo").write_text(text.replace("sse", "avx512_vnni").replace("fp", "i8mm"), encoding="utf-8")
        assert processor_model() != found


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 16), ("400000 100000", 4), ("150000 100000", 1), ("50000 100000", 1), ("9900000 100000", 16)],
)
def test_limit_of_the_container(cgroup: Path, limit: str, expected: int) -> None:
    (cgroup / "cpu.max").write_text(f"{limit}\n", encoding="ascii")
    assert usable_cores() == expected


def test_the_tightest_limit_holds(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text("800000 100000\n", encoding="ascii")
    (cgroup.parent / "cpu.max").write_text("300000 100000\n", encoding="ascii")
    assert usable_cores() == 3


def test_without_cgroups_the_processors_are_counted(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() == 16
    monkeypatch.setattr(cores, "MEMBERSHIP", cgroup / "nothing")
    assert usable_cores() == 16
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert usable_cores() == 1
