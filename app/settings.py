"""The one table of settings. Each is an environment variable `CARIES_*`; `caries serve` has a flag for each as well.

`Settings` is read once and frozen. `describe` prints the table; the documentation is checked against it.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from app.errors import SettingsError

PREFIX = "CARIES_"


@dataclass(frozen=True, slots=True)
class Check:
    """How the text of a setting becomes its value.

    Attributes:
        allowed: the values it takes, in words.
        parse: text to value; raises ValueError for a value that is not allowed.
    """

    allowed: str
    parse: Callable[[str], Any]


def _whole_number(low: int, high: int) -> Check:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return Check(f"a whole number from {low} to {high}", parse)


def _optional(check: Check) -> Check:
    return Check(f"{check.allowed}, or empty", lambda text: check.parse(text) if text else None)


def _number(low: float, high: float) -> Check:
    def parse(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError
        return value

    return Check(f"a number from {low:g} to {high:g}", parse)


def _one_of(*values: str) -> Check:
    def parse(text: str) -> str:
        if text.lower() not in values:
            raise ValueError
        return text.lower()

    return Check(" or ".join(values), parse)


def _several_of(*values: str) -> Check:
    def parse(text: str) -> str:
        chosen = [value.strip() for value in text.lower().split(",")]
        if len(set(chosen)) < len(chosen) or not set(chosen) <= set(values):
            raise ValueError
        return ",".join(chosen)

    return Check(f"one or several of {', '.join(values)}, separated by commas", parse)


def _text(allowed: str) -> Check:
    def parse(text: str) -> str:
        if not text or not text.isprintable():
            raise ValueError
        return text

    return Check(allowed, parse)


def _path(allowed: str) -> Check:
    def parse(text: str) -> Path:
        if not text or "\0" in text:
            raise ValueError
        return Path(text)

    return Check(allowed, parse)


def _models() -> Check:
    def parse(text: str) -> str:
        chosen_models(text)
        return text

    return Check("names separated by commas, each once and with /VERSION if need be", parse)


def _row(sentence: str, check: Check) -> dict[str, Any]:
    """What the table says of a setting beside its default."""
    return {"sentence": sentence, "check": check}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the service; the environment variable of a field is `CARIES_` and its name in capitals."""

    model_store: Path = field(
        default=Path("model_store"), metadata=_row("Folder that holds the models as MODEL/VERSION/.", _path("a folder"))
    )
    model: str | None = field(
        default=None,
        metadata=_row("Model to serve; empty takes the first by name.", _optional(_text("a model's name"))),
    )
    model_version: int | None = field(
        default=None, metadata=_row("Version to serve; empty takes the newest.", _optional(_whole_number(1, 10**9)))
    )
    models: str | None = field(
        default=None,
        metadata=_row("Further models to serve, by /detect?model=NAME; each takes memory.", _optional(_models())),
    )
    watch_s: float = field(
        default=0.0,
        metadata=_row("Seconds between looks for another version in the store; 0 never looks.", _number(0, 86400)),
    )
    runtime: str = field(
        default="auto",
        metadata=_row(
            "What runs the model; auto takes TensorFlow where it sees a GPU, else LiteRT.",
            _one_of("auto", "litert", "tensorflow"),
        ),
    )
    precision: str = field(
        default="float32",
        metadata=_row(
            "LiteRT model to run; int8 takes less memory and, where the processor has instructions for it, less time.",
            _one_of("float32", "int8"),
        ),
    )
    host: str = field(
        default="127.0.0.1",
        metadata=_row("Address to listen on; 0.0.0.0 is every network.", _text("an address or host name")),
    )
    port: int = field(default=8000, metadata=_row("Port to listen on; 0 takes a free one.", _whole_number(0, 65535)))
    keys: Path | None = field(
        default=None,
        metadata=_row("File of API keys; empty lets everybody in, on 127.0.0.1 only.", _optional(_path("a file"))),
    )
    requests_per_minute: int = field(
        default=600,
        metadata=_row(
            "Requests of one API key in a minute, or of one address without keys; 0 sets no limit.",
            _whole_number(0, 1_000_000),
        ),
    )
    docs: str = field(
        default="on",
        metadata=_row("Whether /docs and /openapi.json are served; neither needs a key.", _one_of("on", "off")),
    )
    workers: int | None = field(
        default=None,
        metadata=_row(
            "Inferences at once; each worker loads the model. Empty is one for each core, up to 8; for TensorFlow one.",
            _optional(_whole_number(1, 64)),
        ),
    )
    threads: int | None = field(
        default=None,
        metadata=_row(
            "CPU threads for one inference. Empty shares the cores among the workers; a photo alone gets up to 4.",
            _optional(_whole_number(1, 256)),
        ),
    )
    batch_size: int = field(
        default=8,
        metadata=_row("Photos that TensorFlow takes at once, of those that wait together.", _whole_number(1, 128)),
    )
    batch_wait_ms: float = field(
        default=0.0,
        metadata=_row(
            "Milliseconds that a batch which is not full waits for more; a photo that is alone never waits.",
            _number(0, 1000),
        ),
    )
    isolation: str = field(
        default="process",
        metadata=_row(
            "Where inference runs; process keeps the server alive when the runtime crashes.",
            _one_of("process", "thread"),
        ),
    )
    photos_open: int = field(
        default=4,
        metadata=_row(
            "Photos held decoded at once, two of them of more than 25 megapixels; up to 14 bytes a pixel, most take 9. "
            "Batches hold all but one of them, so two more than there are cores let a batch use all cores.",
            _whole_number(1, 256),
        ),
    )
    queue: int = field(
        default=32,
        metadata=_row(
            "Requests that may wait; more are answered 503 before their photo is read.", _whole_number(0, 10_000)
        ),
    )
    batch_photos: int = field(
        default=32,
        metadata=_row(
            "Most photos of one request to /detect/batch; no more than requests in a minute.", _whole_number(1, 1_000)
        ),
    )
    batch_bytes: int = field(
        default=128 * 2**20,
        metadata=_row("Most bytes of the photos of one batch together, as sent.", _whole_number(1024, 2**31)),
    )
    batches_open: int = field(
        default=4,
        metadata=_row(
            "Batches held at once, with all bytes that were sent; more are answered 503.", _whole_number(1, 256)
        ),
    )
    deadline_s: float = field(
        default=15.0,
        metadata=_row(
            "Seconds from a photo's arrival to the end of its inference; later ones are answered 504.",
            _number(0.01, 3600),
        ),
    )
    upload_s: float = field(
        default=60.0, metadata=_row("Seconds that a photo, or a batch, may take to arrive.", _number(0.1, 3600))
    )
    drain_s: float = field(
        default=0.0,
        metadata=_row("Seconds after SIGTERM that photos are still taken while readiness is off.", _number(0, 3600)),
    )
    shutdown_s: float = field(
        default=10.0,
        metadata=_row(
            "Seconds after that in which accepted requests are answered; what is left then is answered 503.",
            _number(0, 3600),
        ),
    )
    max_bytes: int = field(
        default=32 * 2**20, metadata=_row("Largest photo as sent, in bytes.", _whole_number(1024, 2**31))
    )
    max_pixels: int = field(
        default=64_000_000, metadata=_row("Largest width times height of a photo.", _whole_number(1, 2**30))
    )
    max_side: int = field(
        default=15_000,
        metadata=_row(
            "Largest width and height of a photo; with its legend, WebP cannot hold more.", _whole_number(64, 15_000)
        ),
    )
    max_frames: int = field(
        default=32,
        metadata=_row(
            "Most pictures in one file: an animation, a HEIC collection. One is screened.", _whole_number(1, 1_000)
        ),
    )
    formats: str = field(
        default="jpeg,png,webp,heic",
        metadata=_row("Formats of photos that are read.", _several_of("jpeg", "png", "webp", "heic")),
    )
    audit: Path | None = field(
        default=None,
        metadata=_row("Folder of the audit log; empty keeps none.", _optional(_path("a folder"))),
    )
    audit_bytes: int = field(
        default=64 * 2**20,
        metadata=_row("Size at which the audit log goes on in another file.", _whole_number(4096, 2**40)),
    )
    audit_fsync: str = field(
        default="off",
        metadata=_row(
            "on writes each line through to the disk, so that a power cut loses none; milliseconds a request.",
            _one_of("on", "off"),
        ),
    )
    log_format: str = field(
        default="console",
        metadata=_row("How a line of the log looks; json is one object each.", _one_of("console", "json")),
    )
    log_level: str = field(
        default="info",
        metadata=_row(
            "What is logged; never photos, boxes or file names.", _one_of("debug", "info", "warning", "error")
        ),
    )

    @classmethod
    def read(cls, environment: Mapping[str, str], flags: Mapping[str, str | None] | None = None) -> Settings:
        """Settings from environment variables, overridden by flags.

        Args:
            environment: e.g. `os.environ`; only names that start with `CARIES_` are looked at.
            flags: field name to text; None where the flag was not given.

        Raises:
            SettingsError: a value is not allowed, or a `CARIES_*` variable is not a setting.
        """
        known = {variable(entry.name): entry for entry in fields(cls)}
        for name in sorted(environment):
            if name.startswith(PREFIX) and name not in known:
                raise SettingsError(f"{name} is not a setting{_nearest(name, list(known))}")
        values: dict[str, Any] = {}
        for name, entry in known.items():
            source, text = f"--{flag(entry.name)}", (flags or {}).get(entry.name)
            if text is None:
                source, text = name, environment.get(name)
            if text is not None:
                values[entry.name] = _parse(source, text.strip(), entry.metadata["check"])
        return cls(**values)

    def check_exposure(self) -> None:
        """Checks that nobody but programs of this machine can reach the server without a key.

        Raises:
            SettingsError: it would listen on a network and has no file of keys.
        """
        if self.keys is None and not _is_loopback(self.host):
            raise SettingsError(
                f"{variable('host')} is {self.host!r} and {variable('keys')} is empty, which would let everybody in;"
                f" set {variable('keys')} to a file (it is made with a first key), or listen on 127.0.0.1"
            )


def chosen_models(text: str | None) -> dict[str, int | None]:
    """The setting `models`, as `a,b/2`: name to version, None for the newest.

    Raises:
        ValueError: a name is missing or repeated, or a version is not a whole number from 1.
    """
    chosen: dict[str, int | None] = {}
    for entry in text.split(",") if text else []:
        name, slash, version = entry.strip().partition("/")
        if not name.isprintable() or not name or name in chosen or (slash and not int(version) >= 1):
            raise ValueError(entry)
        chosen[name] = int(version) if slash else None
    return chosen


def variable(name: str) -> str:
    """The environment variable of a field: `deadline_s` is `CARIES_DEADLINE_S`."""
    return PREFIX + name.upper()


def flag(name: str) -> str:
    """The flag of a field, without its dashes: `deadline_s` is `deadline-s`."""
    return name.replace("_", "-")


def describe(settings: Settings | None = None) -> str:
    """The table of settings as text: name, default, allowed values and one sentence each.

    Args:
        settings: shows the values in force as well.
    """
    lines = []
    for entry in fields(Settings):
        shown = f"default {_shown(entry.default)}"
        if settings is not None and getattr(settings, entry.name) != entry.default:
            shown += f", set to {_shown(getattr(settings, entry.name))}"
        lines.append(f"{variable(entry.name)}  ({shown})")
        lines.append(f"    {entry.metadata['sentence']}")
        lines.append(f"    Allowed: {entry.metadata['check'].allowed}.")
    return "\n".join(lines)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"


def _shown(value: Any) -> str:
    return "empty" if value is None else str(value)


def _parse(source: str, text: str, check: Check) -> Any:
    try:
        return check.parse(text)
    except ValueError:
        raise SettingsError(f"{source} is {text!r}; it must be {check.allowed}") from None


def _nearest(name: str, known: list[str]) -> str:
    short = [candidate.removeprefix(PREFIX) for candidate in known]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), short, n=1)
    return f"; did you mean {PREFIX}{close[0]}?" if close else f"; the settings are {', '.join(known)}"
