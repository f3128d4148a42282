"""The section of settings for Whisper on other machines, run over SSH."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from v2t.config.machine import Section, Words
from v2t.config.secret import NO_SECRET, Secret

_ADDRESS = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^@:\s\[\]]+)(?::(?P<port>\d{1,5}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where a host answers by SSH; an empty user or port 0: as the section says."""

    host: str
    user: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> SshAddress:
        """Read `HOST`, `user@HOST` or `user@HOST:PORT`; an IPv6 address stands in brackets. Raises ValueError."""
        found = _ADDRESS.fullmatch(text)
        if not found or int(found["port"] or 0) > 65_535:
            raise ValueError(f"{text!r} is not a host; write HOST or user@HOST:PORT")
        return cls(found["host"].strip("[]"), found["user"] or "", int(found["port"] or 0))


def _addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        SshAddress.parse(text)
    return value


def _address(value: str) -> str:
    if value:
        SshAddress.parse(value)
    return value


ARGUMENTS = (
    *("-m", "{model}", "-f", "{audio}", "-l", "{language}", "-t", "{threads}"),
    *("-bs", "1", "-mc", "0", "-sns", "-ojf", "-of", "{output}", "-pp"),
)
"""What makes whisper-cli write words with their times, and say how far it is.

As whisper_cpp does it: greedy, without the text before, and without brackets, notes and sound descriptions.
"""

TRANSLATE_ARGUMENTS = ("-tr",)
PROMPT_ARGUMENTS = ("-mc", "224", "--prompt", "{prompt}")
"""A prompt travels as the text before does, and takes half of Whisper's context at most."""


class SshWhisperSettings(Section):
    """Whisper on other machines, which is run there over SSH."""

    hosts: Annotated[Words, AfterValidator(_addresses)] = Field(
        default=(),
        description="Machines, each as HOST or user@HOST:PORT.",
        examples=[["m4-1.example.org", "whisper@m4-2.example.org:2222"]],
    )
    user: str = Field(
        default="", description="Account there; empty: the name of the account here.", examples=["whisper"]
    )
    port: int = Field(default=22, ge=1, le=65_535, description="Port of SSH.", examples=[2222])
    key_file: str = Field(
        default="",
        description="Private key to log in with; empty: those of the SSH agent.",
        examples=["/etc/v2t/secrets/ssh-whisper"],
    )
    key_passphrase: Secret = Field(
        default=NO_SECRET, description="What opens the private key.", examples=["file:/etc/v2t/secrets/passphrase"]
    )
    known_hosts: str = Field(
        default="~/.ssh/known_hosts",
        description="File of the keys that the hosts must show.",
        examples=["/etc/v2t/known_hosts"],
    )
    host_key: str = Field(
        default="",
        pattern=r"^([a-z0-9@.-]+ [A-Za-z0-9+/]+=*)?$",
        description="Key that a single host must show; empty: as known_hosts says.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0"],
    )
    jump_host: Annotated[str, AfterValidator(_address)] = Field(
        default="", description="Machine to go through, as user@HOST:PORT.", examples=["v2t@gate.example.org"]
    )
    requests_per_host: int = Field(
        default=1, ge=1, le=64, description="Commands that run side by side on a host.", examples=[2]
    )
    connect_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long to wait for a host to answer.", examples=[5.0]
    )
    keep_alive_seconds: int = Field(
        default=15, ge=1, le=3600, description="How often an idle connection shows that it is used.", examples=[30]
    )
    folder: str = Field(
        default="/tmp",  # noqa: S108 - what is made in it is private and has a name that cannot be guessed
        pattern=r"^/[^\x00]*$",
        description="Folder there, below which a private one is made for each command.",
        examples=["/var/lib/whisper/work"],
    )
    command: Words = Field(
        default=("whisper-cli", *ARGUMENTS),
        description="Command there, which writes whisper.cpp's JSON to {output}.json.",
        examples=[["/opt/whisper/bin/whisper-cli", "-m", "{model}", "-f", "{audio}", "-ojf", "-of", "{output}"]],
    )
    translate_arguments: Words = Field(
        default=TRANSLATE_ARGUMENTS,
        description="What is added to the command for a translation; empty: it cannot translate.",
        examples=[["--translate"]],
    )
    prompt_arguments: Words = Field(
        default=PROMPT_ARGUMENTS,
        description="What is added to the command for a prompt; empty: it takes none.",
        examples=[["--prompt", "{prompt}"]],
    )
    model_path: str = Field(
        default="/var/lib/whisper/ggml-{name}.bin",
        pattern=r"^/[^\x00]*$",
        description="Model file there; {name} stands for the model's name.",
        examples=["/opt/whisper/models/ggml-{name}.bin"],
    )
    threads: int = Field(default=4, ge=1, le=1024, description="Computing threads of a command.", examples=[8])
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="How long a command may take, whatever the audio's length.", examples=[120.0]
    )
    timeout_factor: float = Field(
        default=20.0, ge=0, description="How much longer for each second of audio, in seconds.", examples=[5.0]
    )
    dollars_per_minute: float = Field(
        default=0.0, ge=0, description="Price of a minute of audio, in US dollars, for estimates.", examples=[0.001]
    )

    def slots(self, usual: int) -> int:
        """See RemoteSettings.slots; what its hosts can take."""
        del usual
        return self.requests_per_host * max(1, len(self.hosts))

    @model_validator(mode="after")
    def _fits_together(self) -> SshWhisperSettings:
        missing = [name for name in ("{audio}", "{output}") if not any(name in word for word in self.command)]
        if missing:
            raise ValueError(f"command has no {' and no '.join(missing)}")
        if self.host_key and len(self.hosts) > 1:
            raise ValueError("host_key is for a single host; put the keys of several into known_hosts")
        return self
