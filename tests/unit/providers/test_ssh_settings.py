from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from v2t.config import load_file, load_settings
from v2t.config.ssh_whisper import SshAddress, SshWhisperSettings
from v2t.domain.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("m4-1", SshAddress("m4-1")),
        ("m4.example.org:2222", SshAddress("m4.example.org", "", 2222)),
        ("whisper@10.0.0.7", SshAddress("10.0.0.7", "whisper")),
        ("whisper@[fe80::1]:22", SshAddress("fe80::1", "whisper", 22)),
        ("[::1]", SshAddress("::1")),
    ],
)
def test_an_address_is_host_user_and_port(text: str, address: SshAddress) -> None:
    assert SshAddress.parse(text) == address


@pytest.mark.parametrize("text", ["", "a b", "host:99999", "host:", "a@b@c", "::1", "host:22x", "ssh://host", "\n"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="user@HOST:PORT"):
        SshAddress.parse(text)
    with pytest.raises(ValidationError, match="user@HOST:PORT"):
        SshWhisperSettings(hosts=(text,))


def test_lists_are_words_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2T_SSH_WHISPER__HOSTS", "m4-1 whisper@m4-2:2222")
    monkeypatch.setenv("V2T_SSH_WHISPER__COMMAND", "'/opt/my whisper/cli' -f {audio} -of {output}")
    section = load_settings().ssh_whisper
    assert section.hosts == ("m4-1", "whisper@m4-2:2222")
    assert section.command == ("/opt/my whisper/cli", "-f", "{audio}", "-of", "{output}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('command = ["whisper-cli", "{audio}"]', "command has no {output}"),
        ("command = []", "command has no {audio} and no {output}"),
        ('command = "whisper-cli \'{audio}"', "No closing quotation"),
        ('hosts = ["a", "b"]\nhost_key = "ssh-ed25519 AAAA"', "host_key is for a single host"),
        ('host_key = "AAAA"', "an example is ssh-ed25519"),
        ('folder = "~/work"', "an example is /"),
        ('jump_host = "a b"', "'a b' is not a host"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "v2t.toml"
    path.write_text(f"[ssh_whisper]\n{line}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_file(path)
    assert str(path) in caught.value.message
    assert said in caught.value.message
