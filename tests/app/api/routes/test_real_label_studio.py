"""A real Label Studio asks the server for predictions. Its environment takes 1 GB and five minutes to install."""

import os
import subprocess
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.records.key_file import KeyFile, Role
from tests.app.api.live_server import Start, wait_for
from tests.app.api.server_process import has_ended
from tests.deploy.test_haproxy import free_port

pytestmark = [pytest.mark.slow, pytest.mark.systems]

TOKEN = 20 * "5e"
CONFIG = (
    '<View><Image name="image" value="$image"/>'
    '<RectangleLabels name="label" toName="image"><Label value="caries"/></RectangleLabels></View>'
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `label-studio`, or the one that CARIES_TEST_LABEL_STUDIO names."""
    if given := os.environ.get("CARIES_TEST_LABEL_STUDIO"):
        return Path(given)
    folder = tmp_path_factory.mktemp("label-studio")
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "label-studio==1.23.*"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"label-studio cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return folder / "bin" / "label-studio"


@pytest.fixture
def studio(program: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a running Label Studio, whose only user has the token."""
    port = free_port()
    settings = {
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "HOME": str(tmp_path),
    }
    command = [str(program), "start", "--no-browser", "--port", str(port), "--data-dir", str(tmp_path / "studio")]
    command += ["--username", "a@clinic.example", "--password", "trial-password", "--user-token", TOKEN]
    command += ["--enable-legacy-api-token"]
    log = (tmp_path / "studio.log").open("wb")
    process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
    headers = {"Authorization": f"Token {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120) as client:

        def answers() -> bool:
            assert not has_ended(process.pid), (tmp_path / "studio.log").read_text()[-3000:]
            try:
                return client.get("/api/projects").status_code == 200
            except httpx.HTTPError:
                time.sleep(1)
                return False

        try:
            wait_for(answers, 300)
            yield client
        finally:
            process.kill()
            process.wait()
            log.close()


def test_a_project_gets_predictions_with_scores(
    start: Start, studio: httpx.Client, tmp_path: Path, example_photos: list[Path]
) -> None:
    _, key = KeyFile(tmp_path / "keys.json").add("label-studio", Role.DETECT)
    (tmp_path / "token").write_text(TOKEN)
    settings = {"label_studio": str(studio.base_url), "label_studio_token": tmp_path / "token"}
    with start(keys=tmp_path / "keys.json", **settings) as live:
        project = studio.post("/api/projects", json={"title": "teeth", "label_config": CONFIG}).json()["id"]
        for photo in example_photos[:2]:
            sent = studio.post(f"/api/projects/{project}/import", files={"file": (photo.name, photo.read_bytes())})
            assert sent.status_code == 201, sent.text
        backend = {"url": f"http://127.0.0.1:{live.port}/label-studio", "project": project, "title": "caries"}
        backend |= {"auth_method": "BASIC_AUTH", "basic_auth_user": "any", "basic_auth_pass": key}
        connected = studio.post("/api/ml", json=backend)
        assert connected.status_code == 201, connected.text
        everything = {"selectedItems": {"all": True, "excluded": []}, "filters": {"conjunction": "and", "items": []}}
        action = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
        asked = studio.post(action, json=everything)
        assert asked.status_code == 200, asked.text
        wait_for(lambda: len(studio.get("/api/predictions", params={"project": project}).json()) == 2, 60)
    for prediction in studio.get("/api/predictions", params={"project": project}).json():
        assert prediction["model_version"] == "stand-in/1"
        assert [region["score"] for region in prediction["result"]] == [0.8, 0.6124]
