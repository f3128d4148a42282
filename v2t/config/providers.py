"""The sections of settings of providers on other machines; each is named as its provider."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from v2t.config.machine import Section
from v2t.config.secret import NO_SECRET, Secret

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110, section 5.6.2."""

_OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)


def _checked_url(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if not url.isprintable() or " " in url or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("an address begins with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("an address holds no account, password or fragment; accounts have settings of their own")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port of an address is a number up to 65535") from None
    return url


def _from_json(value: object) -> object:
    """A table as it is, or from the JSON in a string, which is how the environment can hold one."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('expected a table, or JSON in a string such as {"name": "value"}') from None


def _checked_header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
        raise ValueError(f"{name!r} cannot be set as a header")
    return name


Url = Annotated[str, AfterValidator(_checked_url)]
Table = Annotated[dict[str, str], BeforeValidator(_from_json)]
HeaderName = Annotated[str, AfterValidator(_checked_header_name)]
Headers = Annotated[dict[HeaderName, Secret], BeforeValidator(_from_json)]
DottedPath = Annotated[str, Field(pattern=r"^([^.\s]+(\.[^.\s]+)*)?$")]


_REQUESTS_AT_ONCE = "Requests of each worker to it at once; 0: as many as worker.remote_slots."
_REQUESTS_PER_MINUTE = "Requests to it in a minute, of all workers of the cluster together; 0: no limit."


class RemoteSettings(Section):
    """What every provider that speaks HTTP has."""

    ca_file: str = Field(
        default="", description="Certificate authority; empty: the system's.", examples=["/etc/v2t/ca.pem"]
    )
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="How long an answer may take, whatever the audio's length.", examples=[120.0]
    )
    timeout_factor: float = Field(
        default=2.0, ge=0, description="How much longer for each second of audio, in seconds.", examples=[10.0]
    )
    dollars_per_minute: float = Field(
        default=0.0, ge=0, description="Price of a minute of audio, in US dollars, for estimates.", examples=[0.006]
    )
    requests_per_minute: float = Field(default=0.0, ge=0, description=_REQUESTS_PER_MINUTE, examples=[300.0])

    def slots(self, usual: int) -> int:
        """Requests of a worker to it at once, where `usual` is what other providers get."""
        return usual


class ServiceSettings(RemoteSettings):
    """What a service has besides whose machines are its own affair."""

    requests_at_once: int = Field(default=0, ge=0, le=1000, description=_REQUESTS_AT_ONCE, examples=[8])

    def slots(self, usual: int) -> int:
        """See RemoteSettings.slots."""
        return self.requests_at_once or usual


class OpenAiSettings(ServiceSettings):
    """OpenAI's transcription, or a server that speaks its API."""

    base_url: Url = Field(
        default="https://api.openai.com/v1",
        min_length=1,
        description="Address of the API.",
        examples=["https://speech.example.org/v1"],
    )
    api_key: Secret = Field(
        default=Secret("env:OPENAI_API_KEY"), description="Its key.", examples=["file:/etc/v2t/secrets/openai"]
    )
    model: str = Field(
        default="whisper-1",
        min_length=1,
        description="Model used where the job names none of OpenAI's; only whisper-1 gives times of words.",
        examples=["gpt-4o-transcribe"],
    )
    response_format: Literal["auto", "json", "verbose_json", "diarized_json"] = Field(
        default="auto",
        description="What to ask the model for; auto: what OpenAI's model of that name gives most of.",
        examples=["verbose_json"],
    )
    dollars_per_minute: float = Field(
        default=0.006, ge=0, description="Price of a minute of audio, in US dollars, for estimates.", examples=[0.003]
    )
    requests_per_minute: float = Field(default=300.0, ge=0, description=_REQUESTS_PER_MINUTE, examples=[3000.0])


class ElevenLabsSettings(ServiceSettings):
    """ElevenLabs' speech to text."""

    base_url: Url = Field(
        default="https://api.elevenlabs.io",
        min_length=1,
        description="Address of the API.",
        examples=["https://api.eu.residency.elevenlabs.io"],
    )
    api_key: Secret = Field(
        default=Secret("env:ELEVENLABS_API_KEY"), description="Its key.", examples=["file:/etc/v2t/secrets/elevenlabs"]
    )
    model: str = Field(default="scribe_v2", min_length=1, description="Its model.", examples=["scribe_v1"])
    tag_audio_events: bool = Field(
        default=False, description="Write sounds such as (laughter) into the text.", examples=[True]
    )
    dollars_per_minute: float = Field(
        default=0.0067, ge=0, description="Price of a minute of audio, in US dollars, for estimates.", examples=[0.0037]
    )
    requests_per_minute: float = Field(default=120.0, ge=0, description=_REQUESTS_PER_MINUTE, examples=[600.0])
    requests_at_once: int = Field(default=8, ge=0, le=1000, description=_REQUESTS_AT_ONCE, examples=[30])


class WhisperServerSettings(RemoteSettings):
    """The HTTP server of whisper.cpp."""

    url: Url = Field(default="", description="Its address.", examples=["http://10.0.0.7:8080"])
    model: str = Field(default="", description="Name of the model it runs, for display.", examples=["large-v3-turbo"])
    requests: int = Field(
        default=1, ge=1, le=64, description="Requests sent to it at once; it computes one at a time.", examples=[2]
    )
    timeout_factor: float = Field(
        default=10.0, ge=0, description="How much longer for each second of audio, in seconds.", examples=[20.0]
    )

    def slots(self, usual: int) -> int:
        """See RemoteSettings.slots."""
        del usual
        return self.requests


class CustomHttpSettings(ServiceSettings):
    """Any other HTTP service that takes a file and answers with JSON.

    A path is keys and list positions with dots between, such as `results.0.text`.
    """

    url: Url = Field(
        default="", description="Address that takes the audio.", examples=["https://asr.example.org/v1/recognise"]
    )
    method: Literal["POST", "PUT"] = Field(default="POST", description="Method of the request.", examples=["PUT"])
    check_url: Url = Field(
        default="",
        description="Address that answers a GET when the service is well; empty: url is asked without audio.",
        examples=["https://asr.example.org/health"],
    )
    allowed_hosts: str = Field(
        default="",
        pattern=r"^[^\s/]*(, *[^\s/]+)*$",
        description="Hosts, with commas between, that may have a private, loopback or link-local address.",
        examples=["asr.internal, 10.0.0.9"],
    )
    headers: Headers = Field(
        default={},
        description="More headers, each value a secret: a table, or JSON in a string.",
        examples=['{"X-Tenant": "env:ASR_TENANT"}'],
    )
    authentication: Literal["none", "bearer", "basic", "header"] = Field(
        default="none", description="How the service knows its user.", examples=["bearer"]
    )
    header_name: HeaderName = Field(
        default="X-API-Key", description="Header of authentication header.", examples=["X-Token"]
    )
    user: str = Field(
        default="", pattern=r"^[^:\x00-\x1f]*$", description="Account of authentication basic.", examples=["v2t"]
    )
    secret: Secret = Field(
        default=NO_SECRET, description="Its token, password or key.", examples=["file:/etc/v2t/secrets/asr"]
    )
    file_field: str = Field(default="file", min_length=1, description="Field of the audio.", examples=["audio"])
    language_field: str = Field(
        default="", description="Field of the language's code; empty: not sent.", examples=["language"]
    )
    prompt_field: str = Field(default="", description="Field of the prompt; empty: not sent.", examples=["prompt"])
    translate_field: str = Field(
        default="",
        description='Field that is "true" to have it translated into English; empty: it cannot.',
        examples=["translate"],
    )
    fields: Table = Field(
        default={},
        description="More fields: a table, or JSON in a string.",
        examples=['{"response_format": "verbose_json"}'],
    )
    text_path: DottedPath = Field(
        default="text",
        min_length=1,
        description="Path of the text: keys and list positions with dots between.",
        examples=["results.0.text"],
    )
    segments_path: DottedPath = Field(
        default="", description="Path of the list of segments; empty: there is none.", examples=["results.0.segments"]
    )
    segment_start: DottedPath = Field(
        default="start", min_length=1, description="Path of a segment's start, inside it.", examples=["time.from"]
    )
    segment_end: DottedPath = Field(default="end", min_length=1, description="Path of its end.", examples=["time.to"])
    segment_text: DottedPath = Field(
        default="text", min_length=1, description="Path of its text.", examples=["transcript"]
    )
    time_unit: Literal["seconds", "milliseconds"] = Field(
        default="seconds", description="What its times are counted in.", examples=["milliseconds"]
    )
    language_path: DottedPath = Field(
        default="", description="Path of the language's code or English name; empty: none.", examples=["language"]
    )
    error_path: DottedPath = Field(
        default="",
        description="Path of what it says when it fails; empty: where most services say it.",
        examples=["status.message"],
    )

    @property
    def hosts(self) -> frozenset[str]:
        """The allowed hosts."""
        return frozenset(host.strip().lower() for host in self.allowed_hosts.split(",") if host.strip())
