"""The comparison with other servers, without the servers, which need separate environments."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import photos
from benchmarks.peers import compare
from benchmarks.peers.compare import PEERS, SAME_BOX, Peer, PeerError, boxes_in, check_same, group
from benchmarks.peers.detector import Plain, Tuned

pytestmark = pytest.mark.slow

BOX = [0.1, 0.2, 0.3, 0.4, 0.9]


def test_boxes_are_read_from_a_plain_answer_and_from_the_v2_protocol() -> None:
    plain = json.dumps({"boxes": [BOX]})
    assert boxes_in(plain) == [BOX]
    assert boxes_in(json.dumps({"outputs": [{"data": [plain]}]})) == [BOX]
    with pytest.raises(ValueError, match="without boxes"):
        boxes_in('{"detail": "Not Found"}')


def test_a_peer_has_to_find_the_same_boxes() -> None:
    moved = [0.15, *BOX[1:]]
    check_same([BOX], [[0.11, *BOX[1:]]], 0.02)
    for theirs in ([], [moved], [BOX, BOX]):
        with pytest.raises(PeerError, match="finds"):
            check_same([BOX], theirs, 0.02)
    check_same([BOX], [moved, BOX], 0.1)


def test_both_detectors_of_peers_find_the_same_boxes_at_all_sizes_of_the_model() -> None:
    data = photos.rendered(photos.SMALL)[0].read_bytes()
    tuned, plain = Tuned().answer(data)["boxes"], Plain().answer(data)["boxes"]
    check_same(tuned, plain, SAME_BOX)
    assert [box[4] for box in plain] == pytest.approx([box[4] for box in tuned], abs=0.1)


def test_a_peer_that_cannot_be_installed_is_listed_with_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "nothing").mkdir(parents=True)
    (tmp_path / "here" / "nothing" / "requirements.txt").write_text("no-such-package-of-any-name==0\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(compare, "HERE", tmp_path / "here")
    monkeypatch.setattr(compare, "ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(compare, "PEERS", (Peer("nothing", "nothing", "Nothing", "best", "none"),))
    out = tmp_path / "peers.json"
    assert compare.main(["--out", str(out), "--logs", str(tmp_path)]) == 0
    (row,) = json.loads(out.read_text())
    assert (row["peer"], row["json"]) == ("Nothing", None)
    assert "cannot be installed" in row["error"]
    assert "no-such-package-of-any-name" in row["error"]


def test_a_peer_that_exits_at_its_start_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    peer = Peer("nothing", "nothing", "Nothing", "best", "none")
    with (
        pytest.raises(PeerError, match=r"does not answer: .*No module named 'benchmarks.peers.nothing'"),
        compare.running(peer, Path(sys.executable), tmp_path / "log"),
    ):
        pass


def test_all_processes_of_a_peer_end_with_it() -> None:
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert len(group(process.pid)) == 2
    compare.end(process)
    assert group(process.pid) == []
    process.stdout.close()


def test_every_peer_has_a_server_and_exact_requirements() -> None:
    for peer in PEERS:
        folder = compare.HERE / peer.name
        assert (folder / "server.py").exists()
        lines = (folder / "requirements.txt").read_text().split()
        assert all("==" in line for line in lines)
        assert any(line.startswith(peer.package) for line in lines)
