"""The OpenAPI description, light imports, and applications that share nothing."""

import subprocess
import sys

import pytest

from tests.app.api.live_server import Live


def test_description(live: Live) -> None:
    description = live.client.get("/openapi.json").json()
    assert "Not a medical device" in description["info"]["description"]
    detect = description["paths"]["/detect"]["post"]
    assert {parameter["name"] for parameter in detect["parameters"]} == {
        *(
            "operating_point",
            "threshold",
            "max_boxes",
            "classes",
            "lang",
            "plain",
            "evidence",
            "format",
            "model",
            "frame",
        )
    }
    assert set(detect["requestBody"]["content"]) >= {"multipart/form-data", "image/*"}
    answers = detect["responses"]["200"]["content"]
    pictures = {"image/png", "image/jpeg", "image/webp"}
    assert set(answers) == {"application/json", "application/dicom", "multipart/related", *pictures}
    assert answers["application/json"]["example"]["verdict"]
    for address in ("/docs", "/"):
        response = live.client.get(address, follow_redirects=True)
        assert response.status_code == 200
        assert "swagger" in response.text


@pytest.mark.parametrize("module", ["app.api", "app.cli", "app.detect_folder"])
def test_import_is_light(module: str) -> None:
    heavy = {"tensorflow", "ai_edge_litert", "tqdm", "sqlalchemy", "alembic", "pg8000", "app.reviews.store"}
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
