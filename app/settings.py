"""The table of settings. Each is an environment variable `CARIES_*`, and a flag of the commands that use it.

`Settings` is read once and frozen; every value has its type here, so no other module parses one. `describe` prints the
table, and `docs/settings.md` is checked against it.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from app.errors import SettingsError
from app.peers import Destination, Peer, parse_destination, parse_peer
from app.photo.formats import PhotoFormat
from app.photo.limits import DEFAULT_LIMITS, Limits

PREFIX = "CARIES_"
SWITCH = {"on": True, "off": False}

T = TypeVar("T")
N = TypeVar("N", int, float)
E = TypeVar("E", bound=StrEnum)


class RuntimeKind(StrEnum):
    """Which runtime to load; `auto` is TensorFlow if it sees a GPU, else LiteRT."""

    AUTO = "auto"
    LITERT = "litert"
    TENSORFLOW = "tensorflow"


class Precision(StrEnum):
    """Which LiteRT model to run; `auto` is the faster one. TensorFlow always runs float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    INT8 = "int8"


class Isolation(StrEnum):
    """Where inference runs."""

    PROCESS = "process"
    THREAD = "thread"


class Blind(StrEnum):
    """What blind readers start from, boxes without classes or none; `off` shows the detector's and each other's."""

    OFF = "off"
    UNCLASSED = "unclassed"
    EMPTY = "empty"


class Lang(StrEnum):
    """The language of an answer."""

    EN = "en"
    KO = "ko"


class LogFormat(StrEnum):
    """What a log line looks like."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ModelChoice(NamedTuple):
    """A model to serve; without a version, the newest."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class StoreLocation:
    """Where the reviews are: a folder, or a PostgreSQL database by its URL. As text, without the URL's password."""

    folder: Path | None
    url: str | None

    def __str__(self) -> str:
        return str(self.folder) if self.url is None else _without_password(self.url)


@dataclass(frozen=True, slots=True)
class CounterLocation:
    """A Redis database by its URL. As text, without the URL's password."""

    url: str

    def __str__(self) -> str:
        return _without_password(self.url)


def _without_password(url: str) -> str:
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@", 1) if password else url


@dataclass(frozen=True, slots=True)
class Check(Generic[T]):
    """How text becomes the value of a setting.

    Attributes:
        allowed: the allowed values, in words.
        parse: text to value; raises ValueError or KeyError if it is not allowed.
    """

    allowed: str
    parse: Callable[[str], T]


def _whole_number(low: int, high: int) -> Check[int]:
    return Check(f"a whole number from {low} to {high}", lambda text: _within(int(text), low, high))


def _number(low: float, high: float) -> Check[float]:
    return Check(f"a number from {low:g} to {high:g}", lambda text: _within(float(text), low, high))


def _within(value: N, low: N, high: N) -> N:
    if not low <= value <= high:  # true for NaN
        raise ValueError
    return value


def _switch() -> Check[bool]:
    return Check(" or ".join(SWITCH), lambda text: SWITCH[text.lower()])


def _one_of(choices: type[E]) -> Check[E]:
    return Check(" or ".join(choices), lambda text: choices(text.lower()))


def _several_of(choices: type[E]) -> Check[tuple[E, ...]]:
    def parse(text: str) -> tuple[E, ...]:
        chosen = tuple(choices(name.strip()) for name in text.lower().split(","))
        if len(set(chosen)) < len(chosen):
            raise ValueError
        return chosen

    return Check(f"one or more of {', '.join(choices)}, separated by commas", parse)


def _text(allowed: str) -> Check[str]:
    def parse(text: str) -> str:
        if not text or not text.isprintable():
            raise ValueError
        return text

    return Check(allowed, parse)


def _path(allowed: str) -> Check[Path]:
    def parse(text: str) -> Path:
        if not text or "\0" in text:
            raise ValueError
        return Path(text)

    return Check(allowed, parse)


def _models() -> Check[tuple[ModelChoice, ...]]:
    def parse(text: str) -> tuple[ModelChoice, ...]:
        chosen: dict[str, ModelChoice] = {}
        for entry in text.split(",") if text else []:
            name, slash, version = entry.strip().partition("/")
            if not name.isprintable() or not name or name in chosen or (slash and int(version) < 1):
                raise ValueError
            chosen[name] = ModelChoice(name, int(version) if slash else None)
        return tuple(chosen.values())

    return Check("names separated by commas, each once, optionally followed by /VERSION, or empty", parse)


def _store_location() -> Check[StoreLocation]:
    def parse(text: str) -> StoreLocation:
        if not text or not text.isprintable():
            raise ValueError
        if text.startswith("postgresql://") and urlsplit(text).path.strip("/"):
            return StoreLocation(None, text)
        if "://" in text:
            raise ValueError
        return StoreLocation(Path(text), None)

    return Check("a folder or postgresql://USER:PASSWORD@HOST/DATABASE", parse)


def _counter_location() -> Check[CounterLocation]:
    def parse(text: str) -> CounterLocation:
        url = urlsplit(text)
        _ = url.port  # raises ValueError
        database = url.path.removeprefix("/")
        if url.scheme not in ("redis", "rediss") or not url.hostname or url.query or url.fragment:
            raise ValueError
        if not text.isprintable() or (database and not (database.isascii() and database.isdecimal())):
            raise ValueError
        return CounterLocation(text)

    return Check("redis://[:PASSWORD@]HOST[:PORT][/NUMBER], or rediss:// for TLS", parse)


def _web_address() -> Check[str]:
    def parse(text: str) -> str:
        url = urlsplit(text)
        _ = url.port  # raises ValueError
        extras = (url.path.strip("/"), url.query, url.fragment, url.username)
        if url.scheme not in ("http", "https") or not url.hostname or any(extras) or not text.isprintable():
            raise ValueError
        return text

    return Check("http://HOST[:PORT] or https://HOST[:PORT]", parse)


def _title() -> Check[str]:
    def parse(text: str) -> str:
        if parse_peer(text).address is not None:
            raise ValueError
        return text

    return Check("1 to 16 letters, digits or -_.", parse)


def _peers() -> Check[tuple[Peer, ...]]:
    def parse(text: str) -> tuple[Peer, ...]:
        return tuple(parse_peer(entry) for entry in text.split(",")) if text else ()

    return Check("TITLE or TITLE@ADDRESS, separated by commas, or empty", parse)


def _destinations() -> Check[tuple[Destination, ...]]:
    def parse(text: str) -> tuple[Destination, ...]:
        found = tuple(parse_destination(entry) for entry in text.split(",")) if text else ()
        if len({str(each) for each in found}) < len(found):
            raise ValueError
        return found

    return Check("TITLE@HOST:PORT or the URL of a DICOMweb service, separated by commas, each once, or empty", parse)


def _optional(check: Check[T]) -> Check[T | None]:
    return Check(f"{check.allowed}, or empty", lambda text: check.parse(text) if text else None)


def _setting(default: T, sentence: str, check: Check[T]) -> T:
    return field(default=default, metadata={"sentence": sentence, "check": check})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the service; the environment variable of a field is `CARIES_` and its name in capitals."""

    model_store: Path = _setting(Path("model_store"), "Folder of the models, as MODEL/VERSION/.", _path("a folder"))
    model: str | None = _setting(
        None, "Model to serve; empty takes the first by name.", _optional(_text("a model's name"))
    )
    model_version: int | None = _setting(
        None, "Version to serve; empty takes the newest.", _optional(_whole_number(1, 10**9))
    )
    models: tuple[ModelChoice, ...] = _setting(
        (), "Further models to serve, by /detect?model=NAME; each takes memory.", _models()
    )
    operating_point: str | None = _setting(
        None,
        "Operating point unless a request names one or a threshold; empty takes the model's default.",
        _optional(_text("a name that every model served has")),
    )
    watch_s: float = _setting(
        0.0, "Seconds between checks of the store for another version; 0 never checks.", _number(0, 86400)
    )
    runtime: RuntimeKind = _setting(
        RuntimeKind.AUTO,
        "What runs the model; auto takes TensorFlow where it sees a GPU, else LiteRT.",
        _one_of(RuntimeKind),
    )
    precision: Precision = _setting(
        Precision.AUTO,
        "LiteRT model to run; auto times both at the start and runs the faster. Pin one for replicas of a service.",
        _one_of(Precision),
    )
    state: Path | None = _setting(
        None,
        "Folder in which the server keeps measured times for its next start; empty measures at each.",
        _optional(_path("a folder")),
    )
    host: str = _setting(
        "127.0.0.1", "Address to listen on; 0.0.0.0 listens on all networks.", _text("an address or host name")
    )
    port: int = _setting(8000, "Port to listen on; 0 takes a free one.", _whole_number(0, 65535))
    keys: Path | None = _setting(
        None, "File of API keys; empty asks for no key, on 127.0.0.1 only.", _optional(_path("a file"))
    )
    requests_per_minute: int = _setting(
        600,
        "Requests of one API key in a minute, or of one address without keys; 0 sets no limit.",
        _whole_number(0, 1_000_000),
    )
    rate_limits: CounterLocation | None = _setting(
        None,
        "Redis that counts requests, and wrong and missing keys, for all replicas; empty counts in each server.",
        _optional(_counter_location()),
    )
    session_s: int = _setting(
        43_200,
        "Seconds after which the page asks for the key again; 12 hours are a working day.",
        _whole_number(60, 30 * 86_400),
    )
    docs: bool = _setting(True, "Whether /docs and /openapi.json are served; neither needs a key.", _switch())
    workers: int | None = _setting(
        None,
        "Concurrent inferences; each worker loads the model. Empty is one for each core, up to 8; for TensorFlow one.",
        _optional(_whole_number(1, 64)),
    )
    threads: int | None = _setting(
        None,
        "CPU threads for one inference. Empty shares the cores among the workers; a photo alone gets up to 4.",
        _optional(_whole_number(1, 256)),
    )
    batch_size: int = _setting(8, "Photos that TensorFlow takes together, of those that wait.", _whole_number(1, 128))
    batch_wait_ms: float = _setting(
        0.0,
        "Milliseconds that a partial batch waits for more photos; a photo that is alone never waits.",
        _number(0, 1000),
    )
    isolation: Isolation = _setting(
        Isolation.PROCESS,
        "Where inference runs; process keeps the server alive when the runtime crashes.",
        _one_of(Isolation),
    )
    photos_open: int = _setting(
        4,
        "Photos decoded in memory at a time, two of them of more than 25 megapixels; up to 14 bytes a pixel, most take"
        " 9. Batches use all but one, so two more than there are cores let a batch use all cores.",
        _whole_number(1, 256),
    )
    queue: int = _setting(
        32, "Requests that may wait; more are answered 503 before their photo is read.", _whole_number(0, 10_000)
    )
    batch_photos: int = _setting(
        32, "Maximum photos per batch; the limit of requests per minute also applies.", _whole_number(1, 1_000)
    )
    batch_bytes: int = _setting(128 * 2**20, "Maximum total bytes of a batch, as sent.", _whole_number(1024, 2**31))
    batches_open: int = _setting(
        4, "Batches in memory at a time, with all bytes that were sent; more are answered 503.", _whole_number(1, 256)
    )
    deadline_s: float = _setting(
        15.0,
        "Seconds from a photo's arrival to the end of its inference; later ones are answered 504.",
        _number(0.01, 3600),
    )
    upload_s: float = _setting(60.0, "Seconds that a photo, or a batch, may take to arrive.", _number(0.1, 3600))
    drain_s: float = _setting(
        0.0, "Seconds after SIGTERM that photos are still taken while readiness is off.", _number(0, 3600)
    )
    shutdown_s: float = _setting(
        10.0, "Seconds after that in which accepted requests are answered; the rest are answered 503.", _number(0, 3600)
    )
    max_bytes: int = _setting(DEFAULT_LIMITS.max_bytes, "Largest photo as sent, in bytes.", _whole_number(1024, 2**31))
    max_pixels: int = _setting(
        DEFAULT_LIMITS.max_pixels, "Largest width times height of a photo.", _whole_number(1, 2**30)
    )
    max_side: int = _setting(
        DEFAULT_LIMITS.max_side,
        "Largest width and height of a photo; with its legend, WebP has room for no more.",
        _whole_number(64, 15_000),
    )
    max_frames: int = _setting(
        DEFAULT_LIMITS.max_frames,
        "Most pictures in one file: an animation, a HEIC collection, frames of a DICOM file. One is screened.",
        _whole_number(1, 1_000),
    )
    formats: tuple[PhotoFormat, ...] = _setting(
        DEFAULT_LIMITS.formats, "Formats of photos that are read.", _several_of(PhotoFormat)
    )
    audit: Path | None = _setting(None, "Folder of the audit log; empty keeps none.", _optional(_path("a folder")))
    audit_bytes: int = _setting(
        64 * 2**20, "Size at which the audit log starts another file.", _whole_number(4096, 2**40)
    )
    audit_fsync: bool = _setting(
        False,
        "on flushes each line to disk, so that a power cut loses none; costs milliseconds per request.",
        _switch(),
    )
    reviews: StoreLocation | None = _setting(
        None,
        "Folder, or PostgreSQL database, of the photos kept for review; empty keeps none.",
        _optional(_store_location()),
    )
    reviews_blind: Blind = _setting(
        Blind.OFF,
        "What two blind readers of a photo start from: its boxes unclassed, or empty; off shows all to everyone.",
        _one_of(Blind),
    )
    label_studio: str | None = _setting(
        None,
        "Label Studio whose photos /label-studio/predict fetches; empty serves no /label-studio.",
        _optional(_web_address()),
    )
    label_studio_token: Path | None = _setting(
        None, "File with an access token of a Label Studio user.", _optional(_path("a file"))
    )
    gateway: Path | None = _setting(
        None, "Folder of the DICOM gateway's queue; for caries gateway.", _optional(_path("a folder"))
    )
    gateway_title: str = _setting("CARIES", "AE title of the gateway.", _title())
    gateway_host: str = _setting("127.0.0.1", "Address on which the gateway listens.", _text("an address or host name"))
    gateway_port: int = _setting(11112, "Port of the gateway for DICOM; 0 takes a free one.", _whole_number(0, 65535))
    gateway_web_port: int | None = _setting(
        None,
        "Port of the gateway for STOW-RS, health and metrics; empty has none.",
        _optional(_whole_number(0, 65535)),
    )
    gateway_peers: tuple[Peer, ...] = _setting(
        (), "Who may send photos to the gateway by C-STORE; all others are rejected.", _peers()
    )
    gateway_archives: tuple[Destination, ...] = _setting(
        (), "Where the gateway delivers answers; each goes to every archive.", _destinations()
    )
    gateway_credentials: Path | None = _setting(
        None,
        "File of mode 0600 with passwords and tokens for DICOMweb services, a line each: URL basic USER PASSWORD, or"
        " URL bearer TOKEN; empty sends none.",
        _optional(_path("a file")),
    )
    gateway_server: str = _setting("http://127.0.0.1:8000", "Server that screens the gateway's photos.", _web_address())
    gateway_server_key: Path | None = _setting(
        None, "File with the API key for that server; empty sends none.", _optional(_path("a file"))
    )
    gateway_lang: Lang = _setting(Lang.EN, "Language of the gateway's answers.", _one_of(Lang))
    gateway_associations: int = _setting(
        4, "Associations that the gateway accepts at a time; each has a photo in memory.", _whole_number(1, 64)
    )
    gateway_give_up_h: float = _setting(
        72.0, "Hours that the gateway tries to screen a photo and to deliver its answer.", _number(0, 8760)
    )
    gateway_keep_days: float = _setting(
        14.0, "Days that the gateway keeps what it gave up, to be sent again.", _number(0, 3650)
    )
    gateway_tls: Path | None = _setting(
        None,
        "Folder with certificate.pem, key.pem and peers.pem for DICOM over TLS, both ways; empty uses none.",
        _optional(_path("a folder")),
    )
    log_format: LogFormat = _setting(
        LogFormat.CONSOLE, "Format of a log line; json is one object each.", _one_of(LogFormat)
    )
    log_level: LogLevel = _setting(
        LogLevel.INFO, "Lowest level that is logged; never photos, boxes or file names.", _one_of(LogLevel)
    )

    @classmethod
    def read(cls, environment: Mapping[str, str], flags: Mapping[str, str | None] | None = None) -> Settings:
        """Settings from environment variables, overridden by flags: field name to text, None for one not given.

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

    @property
    def limits(self) -> Limits:
        """The limits of one photo."""
        return Limits(
            max_bytes=self.max_bytes,
            max_pixels=self.max_pixels,
            max_side=self.max_side,
            max_frames=self.max_frames,
            formats=self.formats,
        )

    def check_exposure(self) -> None:
        """Check that only programs on this machine can reach the server without a key.

        Raises:
            SettingsError: it would listen on a network without a file of keys.
        """
        if self.keys is None and not _is_loopback(self.host):
            raise SettingsError(
                f"{variable('host')} is {self.host!r} and {variable('keys')} is empty, which would let everyone in;"
                f" set {variable('keys')} to a file (it is created with a first key), or listen on 127.0.0.1"
            )


def variable(name: str) -> str:
    """The environment variable of a field: `deadline_s` is `CARIES_DEADLINE_S`."""
    return PREFIX + name.upper()


def flag(name: str) -> str:
    """The flag of a field, without its dashes: `deadline_s` is `deadline-s`."""
    return name.replace("_", "-")


def as_text(value: object) -> str:
    """A value of a setting as the environment spells it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(str(entry) for entry in value) if isinstance(value, tuple) else str(value)


def describe(settings: Settings) -> str:
    """The table of settings as text: name, default, allowed values and one sentence each, and the values in force."""
    lines = []
    for entry in fields(Settings):
        shown = f"default {as_text(entry.default) or 'empty'}"
        if (value := getattr(settings, entry.name)) != entry.default:
            shown += f", set to {as_text(value) or 'empty'}"
        lines.append(f"{variable(entry.name)}  ({shown})")
        lines.append(f"    {entry.metadata['sentence']}")
        lines.append(f"    Allowed: {entry.metadata['check'].allowed}.")
    return "\n".join(lines)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"


def _parse(source: str, text: str, check: Check[T]) -> T:
    try:
        return check.parse(text)
    except (ValueError, KeyError):
        raise SettingsError(f"{source} is {text!r}; it must be {check.allowed}") from None


def _nearest(name: str, known: list[str]) -> str:
    short = [candidate.removeprefix(PREFIX) for candidate in known]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), short, n=1)
    return f"; did you mean {PREFIX}{close[0]}?" if close else f"; the settings are {', '.join(known)}"
