"""The table of settings."""

import dataclasses
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.photo.formats import PhotoFormat
from app.settings import ModelChoice, Precision, RuntimeKind, Settings, as_text, describe, flag, variable

FIELDS = [field.name for field in dataclasses.fields(Settings)]


def test_defaults() -> None:
    settings = Settings.read({})
    assert settings == Settings()
    assert (settings.runtime, settings.precision, settings.workers) == (RuntimeKind.AUTO, Precision.AUTO, None)
    assert (settings.docs, settings.audit_fsync, settings.models) == (True, False, ())
    assert settings.formats == tuple(PhotoFormat)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_environment_and_flags() -> None:
    environment = {"CARIES_PORT": " 9000 ", "CARIES_MODEL": "m", "CARIES_RUNTIME": "LiteRT", "PATH": "/bin"}
    settings = Settings.read(environment, {"port": "9001", "host": None})
    assert (settings.port, settings.model, settings.host) == (9001, "m", "127.0.0.1")
    assert settings.runtime is RuntimeKind.LITERT
    assert Settings.read({"CARIES_MODEL": "", "CARIES_MODEL_VERSION": "", "CARIES_MODELS": ""}) == Settings()
    assert Settings.read({"CARIES_MODEL_STORE": "/srv/models"}).model_store == Path("/srv/models")


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_described(name: str) -> None:
    (field,) = (field for field in dataclasses.fields(Settings) if field.name == name)
    text = describe(Settings())
    default = as_text(field.default) or "empty"
    assert f"{variable(name)}  (default {default})\n    {field.metadata['sentence']}\n    Allowed: " in text
    assert field.metadata["sentence"].endswith(".")
    assert field.metadata["check"].allowed in text


@pytest.mark.parametrize("name", FIELDS)
def test_every_default_is_allowed(name: str) -> None:
    default = getattr(Settings(), name)
    assert getattr(Settings.read({variable(name): as_text(default)}), name) == default


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("port", "81", "default 8000, set to 81"),
        ("docs", "OFF", "default on, set to off"),
        ("audit_fsync", "on", "default off, set to on"),
        ("models", "a, b/2", "default empty, set to a,b/2"),
        ("formats", "PNG, jpeg", "default jpeg,png,webp,heic,dicom, set to png,jpeg"),
        ("label_studio", "https://ls:8080/", "default empty, set to https://ls:8080/"),
        ("reviews", "/srv/reviews", "default empty, set to /srv/reviews"),
        ("reviews", "postgresql://u:secret@h/d", "default empty, set to postgresql://u:***@h/d"),
        ("reviews", "postgresql://u@h/d", "default empty, set to postgresql://u@h/d"),
        ("rate_limits", "rediss://:secret@h:6380/2", "default empty, set to rediss://:***@h:6380/2"),
    ],
)
def test_values_in_force_are_described(name: str, text: str, shown: str) -> None:
    assert f"{variable(name)}  ({shown})" in describe(Settings.read({variable(name): text}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model_store", ""),
        ("model_version", "0"),
        ("model_version", "newest"),
        ("models", "a,,b"),
        ("models", "a,a/2"),
        ("models", "a/0"),
        ("models", "a/newest"),
        ("models", "a/"),
        ("watch_s", "-1"),
        ("runtime", "onnx"),
        ("precision", "float16"),
        ("host", ""),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "tcp://10.0.0.1:80"),
        ("requests_per_minute", "-1"),
        ("docs", "no"),
        ("audit_fsync", ""),
        ("formats", ""),
        ("formats", "png,gif"),
        ("formats", "png,png"),
        ("log_format", "xml"),
        ("gateway_title", "A" * 17),
        ("gateway_title", "A@10.0.0.5"),
        ("gateway_peers", "PACS@"),
        ("gateway_archives", "PACS"),
        ("gateway_archives", "A@b:1,A@b:1"),
        ("gateway_lang", "fr"),
        ("workers", "0"),
        ("threads", "two"),
        ("batch_size", "0"),
        ("batch_wait_ms", "-1"),
        ("isolation", "container"),
        ("photos_open", "0"),
        ("queue", "-1"),
        ("deadline_s", "0"),
        ("deadline_s", "nan"),
        ("upload_s", "inf"),
        ("drain_s", "-1"),
        ("shutdown_s", "3601"),
        ("max_bytes", "32MB"),
        ("max_pixels", "1e6"),
        ("log_level", "loud"),
        ("reviews", "mysql://u@h/d"),
        ("reviews", "postgresql://u@h"),
        ("reviews_blind", "on"),
        ("rate_limits", "memory://"),
        ("rate_limits", "redis://"),
        ("rate_limits", "redis://h/first"),
        ("rate_limits", "redis://h:port"),
        ("rate_limits", "redis://h?db=1"),
    ],
)
def test_bad_value_names_variable_value_and_what_is_allowed(name: str, value: str) -> None:
    (allowed,) = (field.metadata["check"].allowed for field in dataclasses.fields(Settings) if field.name == name)
    with pytest.raises(SettingsError) as caught:
        Settings.read({variable(name): value})
    assert str(caught.value) == f"{variable(name)} is {value!r}; it must be {allowed}"
    with pytest.raises(SettingsError, match=f"^--{flag(name)} is "):
        Settings.read({}, {name: value})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CARIES_PROT", "CARIES_PORT?"),
        ("CARIES_DEADLINE", "CARIES_DEADLINE_S?"),
        ("CARIES_ZZZ", "CARIES_MODEL_STORE, "),
    ],
)
def test_unknown_variable_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({name: "1"})
    assert name in str(caught.value)
    assert nearest in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LocalHost"])
def test_without_keys_only_loopback_is_allowed(host: str) -> None:
    Settings(host=host).check_exposure()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "127.0.0.1.example", "clinic-server", "0", "localhost."])
def test_a_network_requires_keys(host: str) -> None:
    Settings(host=host, keys=Path("keys.json")).check_exposure()
    with pytest.raises(SettingsError) as caught:
        Settings(host=host).check_exposure()
    assert f"CARIES_HOST is {host!r}" in str(caught.value)
    assert "set CARIES_KEYS to a file" in str(caught.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_further_models() -> None:
    assert Settings.read({"CARIES_MODELS": "a, b/2"}).models == (ModelChoice("a"), ModelChoice("b", 2))
