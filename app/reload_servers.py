"""Reload the models of several servers, each by its own address: through a balancer, a reload reaches one of them."""

import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.errors import SettingsError

TIMEOUT_S = 120.0
"""Seconds for one server, which verifies and warms up the model before it answers."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The outcome at one server: what is live, or why it failed."""

    server: str
    text: str
    is_done: bool


def reload_server(server: str, key: str | None, *, model: str | None = None, version: int | None = None) -> Reloaded:
    """Reload one server; `model` and `version` as `POST /models/reload` takes them.

    Raises:
        SettingsError: the address is not one of a server.
    """
    url = urlsplit(server)
    try:
        port = url.port
    except ValueError:
        port = -1
    if url.scheme not in ("http", "https") or not url.hostname or port == -1 or url.path.strip("/") or url.query:
        raise SettingsError(f"the server is {server!r}; it must be http://HOST[:PORT] or https://HOST[:PORT]")
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname, port, timeout=TIMEOUT_S)
    asked = {name: value for name, value in (("model", model), ("version", version)) if value is not None}
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        connection.request("POST", "/models/reload", json.dumps(asked), headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            return Reloaded(server, f"{answer.status}: {content['detail']}", False)
        live = ", ".join(f"{one['name']} {one['version']}" for one in content["live"])
        return Reloaded(server, f"live: {live}", True)
    except OSError as error:
        return Reloaded(server, f"no answer: {error}", False)
    except (http.client.HTTPException, ValueError, KeyError, TypeError):
        return Reloaded(server, "the answer is not that of a caries-screen server", False)
    finally:
        connection.close()
