"""The sections of settings that one machine needs, with or without a cluster."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from v2t.domain.jobs import DEFAULT_MODEL

_HOMELESS_DATA = Path("/var/lib/v2t")
"""Where data goes when the account has no home: the place of a service's data in the Filesystem Hierarchy Standard."""


def _absolute(path: Path) -> Path:
    try:
        expanded = path.expanduser()
    except RuntimeError as error:
        raise ValueError("there is no home folder to put in the place of ~") from error
    if not expanded.is_absolute():
        raise ValueError("a folder must be absolute or begin with ~")
    return expanded


Folder = Annotated[Path, AfterValidator(_absolute)]


def _words(value: Any) -> Any:
    """A list written as one string, as environment variables have it: words, quoted as a shell reads them."""
    return tuple(shlex.split(value)) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


def user_folder(find: Callable[[str], Path]) -> Path | None:
    """A folder of this account, or None for an account without a home."""
    try:
        folder = find("v2t")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def data_folder() -> Path:
    """Where this account keeps data."""
    return user_folder(platformdirs.user_data_path) or _HOMELESS_DATA


class Section(BaseModel):
    """A section: its fields are keys, each with a description and an example."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StandaloneSettings(Section):
    """What v2t keeps when it runs on one machine without a cluster."""

    folder: Folder = Field(
        default_factory=data_folder,
        description="Folder of recordings, transcripts and job records.",
        examples=["~/.local/share/v2t"],
    )
    keep_audio_days: int = Field(
        default=7, ge=0, le=36_500, description="Days a recording is kept; transcripts stay.", examples=[30]
    )
    namespace: str = Field(
        default="v2t", pattern=r"^[A-Za-z0-9._-]+$", description="Temporal namespace of the jobs.", examples=["v2t"]
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="Port of the embedded Temporal server; 0: any free one.",
        examples=[7233],
    )
    ui: bool = Field(default=False, description="Serve Temporal's web page of running jobs.", examples=[True])


class ModelsSettings(Section):
    """Speech model files."""

    folder: Folder = Field(
        default_factory=lambda: data_folder() / "models",
        description="Folder of the model files.",
        examples=["~/.local/share/v2t/models"],
    )
    hub: str = Field(
        default="https://huggingface.co",
        pattern=r"^https?://[^\s]+$",
        description="Server the models are downloaded from.",
        examples=["https://models.example.org"],
    )
    default: str = Field(
        default=DEFAULT_MODEL, min_length=1, description="Model used when none is named.", examples=["large-v3-turbo"]
    )


class EngineSettings(Section):
    """The speech engine's processes."""

    slots: int = Field(
        default=0, ge=0, le=1024, description="Engines that run side by side; 0: from cores and memory.", examples=[2]
    )
    threads: int = Field(default=1, ge=1, le=1024, description="Threads of each engine.", examples=[4])
    memory_limit_mb: int = Field(
        default=0, ge=0, description="Memory one engine may use, in MB; 0: from the model's size.", examples=[2048]
    )
    idle_unload_seconds: float = Field(
        default=300.0, ge=0, description="Seconds without work after which a model leaves memory.", examples=[60.0]
    )
    stall_seconds: float = Field(
        default=60.0, gt=0, description="Seconds without progress after which an engine is replaced.", examples=[120.0]
    )
    whisper_cli: Words = Field(
        default=(),
        description="whisper.cpp's own program, which whisper_cpp runs for each chunk; empty: its library, in a child.",
        examples=[["/opt/whisper/bin/whisper-cli"]],
    )


class AudioSettings(Section):
    """Decoding and cutting of recordings."""

    max_hours: float = Field(default=100.0, gt=0, description="Longest recording accepted, in hours.", examples=[12.0])
    chunk_seconds: float = Field(
        default=118.0,
        ge=1,
        le=600,
        description="Longest stretch of speech given to an engine at once.",
        examples=[58.0],
    )
    decode_memory_mb: int = Field(default=1024, ge=128, description="Memory a decoder may use, in MB.", examples=[2048])
    decode_stall_seconds: float = Field(
        default=60.0, gt=0, description="Seconds without progress after which a decoder is ended.", examples=[120.0]
    )


class OutputSettings(Section):
    """Limits of subtitles."""

    max_line_width: int = Field(default=42, ge=1, description="Characters in a line.", examples=[37])
    max_lines: int = Field(default=2, ge=1, description="Lines shown at once.", examples=[1])
    max_characters_per_second: float = Field(default=20.0, gt=0, description="Reading speed.", examples=[17.0])
    min_duration_seconds: float = Field(
        default=0.8333, gt=0, description="Shortest time on the screen.", examples=[1.0]
    )
    max_duration_seconds: float = Field(default=7.0, gt=0, description="Longest time on the screen.", examples=[6.0])

    @model_validator(mode="after")
    def _durations_are_in_order(self) -> OutputSettings:
        if self.min_duration_seconds > self.max_duration_seconds:
            raise ValueError("min_duration_seconds is above max_duration_seconds")
        return self
