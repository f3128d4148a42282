from __future__ import annotations

import pytest

from v2t.config import Settings, load_settings
from v2t.config.providers import CustomHttpSettings
from v2t.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("openai.base_url", "ftp://example.org", "begins with http:// or https://"),
        ("openai.base_url", "http://", "and a host"),
        ("openai.base_url", "https://exa mple.org", "begins with"),
        ("openai.base_url", "https://example.org\r\nX: y", "begins with"),
        ("openai.base_url", "https://v2t:hush@example.org", "no account, password"),
        ("openai.base_url", "https://example.org:99999", "port"),
        ("openai.base_url", "", "at least 1 character"),
        ("whisper_server.requests", "0", "greater than or equal to 1"),
        ("custom_http.headers", "X-Tenant: a", "JSON in a string such as"),
        ("custom_http.headers", '{"Content-Length": "1"}', "'Content-Length' cannot be set as a header"),
        ("custom_http.headers", '{"bad name": "1"}', "'bad name' cannot be set as a header"),
        ("custom_http.header_name", "a:b", "'a:b' cannot be set as a header"),
        ("custom_http.fields", "[1]", "valid dict"),
        ("custom_http.text_path", "a..b", "not well formed; an example is"),
        ("custom_http.user", "a:b", "not well formed"),
    ],
)
def test_a_value_that_would_not_work_is_refused_with_its_place(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, message: str
) -> None:
    name = f"V2T_{key.replace('.', '__').upper()}"
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert raised.value.message.startswith(f"{name}: {key}")
    assert message in raised.value.message
    assert "hush" not in raised.value.message


def test_a_table_is_a_table_in_a_file_and_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_CUSTOM_HTTP__FIELDS", '{"format": "json"}')
    from_file = Settings.model_validate({"custom_http": {"fields": {"format": "json"}}})
    assert load_settings().custom_http.fields == from_file.custom_http.fields == {"format": "json"}


def test_what_a_header_holds_is_not_shown() -> None:
    settings = CustomHttpSettings.model_validate({"headers": {"X-Tenant": "hush", "X-Key": "env:KEY"}})
    assert settings.headers["X-Tenant"].reveal() == "hush"
    assert "hush" not in repr(settings) + settings.model_dump_json()
    assert settings.model_dump(mode="json")["headers"] == {"X-Tenant": "(redacted)", "X-Key": "env:KEY"}


def test_allowed_hosts_are_names_with_commas_between() -> None:
    assert CustomHttpSettings(allowed_hosts="ASR.internal, 10.0.0.9").hosts == {"asr.internal", "10.0.0.9"}
    assert CustomHttpSettings().hosts == frozenset()
