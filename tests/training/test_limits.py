import pytest

from training.limits import Limits, control_group_limits, cpu_quota, memory_limit, memory_within, this_process

GIB = 2**30
NONE = Limits(None, None, None)
MEMINFO = (
    f"MemTotal:       {8 * GIB // 1024} kB\nMemFree: 1 kB\nMemAvailable:   {6 * GIB // 1024} kB\nHugePages_Total: 0\n"
)


def write(folder, **files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("150000 100000\n", 1.5), ("max 100000\n", None), ("-1 100000", None), ("", None), ("100000 0", None)],
)
def test_a_quota_is_read(text, cores) -> None:
    assert cpu_quota(text) == cores


@pytest.mark.parametrize(
    ("text", "limit"), [("2147483648\n", 2 * GIB), ("max\n", None), ("9223372036854771712\n", None), ("", None)]
)
def test_a_memory_limit_is_read(text, limit) -> None:
    assert memory_limit(text) == limit


def test_version_2_counts_the_tightest_of_a_group_and_its_parents(tmp_path) -> None:
    write(tmp_path / "slice", cpu__max="100000 100000", memory__max=str(4 * GIB), memory__current=str(GIB))
    write(
        tmp_path / "slice" / "job",
        cpu__max="max 100000",
        memory__max=str(2 * GIB),
        memory__current=str(GIB),
        memory__stat=f"anon 1\ninactive_file {GIB // 2}\n",
    )
    assert control_group_limits("0::/slice/job\n", tmp_path) == Limits(1.0, 2 * GIB, 3 * GIB // 2)
    assert control_group_limits("0::/slice\n", tmp_path) == Limits(1.0, 4 * GIB, 3 * GIB)


def test_version_2_in_a_container_is_read_at_the_mount(tmp_path) -> None:
    """Inside a container the group's path may be the host's, which is not there."""
    write(tmp_path, cpu__max="200000 100000\n", memory__max=f"{GIB}\n", memory__current="0\n")
    assert control_group_limits("0::/docker/0123\n", tmp_path) == Limits(2.0, GIB, GIB)


def test_version_1_is_read_below_each_controller(tmp_path) -> None:
    write(tmp_path / "cpu,cpuacct" / "job", **{"cpu__cfs_quota_us": "50000\n", "cpu__cfs_period_us": "100000\n"})
    write(
        tmp_path / "memory" / "job",
        memory__limit_in_bytes=f"{3 * GIB}\n",
        memory__usage_in_bytes=f"{2 * GIB}\n",
        memory__stat=f"cache 5\ntotal_inactive_file {GIB}\n",
    )
    write(tmp_path / "memory", memory__limit_in_bytes="9223372036854771712\n")
    text = "9:memory:/job\n8:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n"
    assert control_group_limits(text, tmp_path) == Limits(0.5, 3 * GIB, 2 * GIB)


def test_no_group_is_no_limit(tmp_path) -> None:
    assert control_group_limits("", tmp_path) == NONE
    assert control_group_limits("0::/../..\n", tmp_path) == NONE


def test_memory_is_what_the_limit_leaves() -> None:
    unlimited = memory_within(MEMINFO, NONE)
    assert (unlimited.total, unlimited.available) == (8 * GIB, 6 * GIB)
    limited = memory_within(MEMINFO, Limits(None, 4 * GIB, GIB))
    assert (limited.total, limited.available) == (4 * GIB, GIB)
    generous = memory_within(MEMINFO, Limits(None, 64 * GIB, 60 * GIB))
    assert (generous.total, generous.available) == (8 * GIB, 6 * GIB)
    assert memory_within("", NONE).total == 0


def test_this_process_has_cores_and_memory() -> None:
    cores, _, memory = this_process()
    assert cores >= 1
    assert 0 < memory.available <= memory.total
