"""All sections together, and what documentation says of each key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from v2t.config.cluster import (
    BatchSettings,
    CacheSettings,
    DatabaseSettings,
    RetentionSettings,
    StorageSettings,
    TemporalSettings,
    UploadsSettings,
    WorkerSettings,
)
from v2t.config.machine import (
    AudioSettings,
    EngineSettings,
    ModelsSettings,
    OutputSettings,
    Section,
    StandaloneSettings,
)
from v2t.config.providers import CustomHttpSettings, ElevenLabsSettings, OpenAiSettings, WhisperServerSettings
from v2t.config.selection import SelectionSettings
from v2t.config.ssh_whisper import SshWhisperSettings

PREFIX = "V2T_"


class Source(Protocol):
    """One place that settings were read from."""

    def holds(self, section: str, key: str) -> bool:
        """Whether it has a value for the key, or for the section where there is no key."""
        ...

    def source(self, section: str, key: str) -> str:
        """Its name."""
        ...


class Settings(BaseModel):
    """Every setting; `Settings()` is the defaults, `load_settings()` reads files and environment too."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    standalone: StandaloneSettings = Field(default_factory=StandaloneSettings)
    models: ModelsSettings = Field(default_factory=ModelsSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    audio: AudioSettings = Field(default_factory=AudioSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    temporal: TemporalSettings = Field(default_factory=TemporalSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    batch: BatchSettings = Field(default_factory=BatchSettings)
    uploads: UploadsSettings = Field(default_factory=UploadsSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    selection: SelectionSettings = Field(default_factory=SelectionSettings)
    openai: OpenAiSettings = Field(default_factory=OpenAiSettings)
    elevenlabs: ElevenLabsSettings = Field(default_factory=ElevenLabsSettings)
    whisper_server: WhisperServerSettings = Field(default_factory=WhisperServerSettings)
    custom_http: CustomHttpSettings = Field(default_factory=CustomHttpSettings)
    ssh_whisper: SshWhisperSettings = Field(default_factory=SshWhisperSettings)

    _layers: tuple[Source, ...] = PrivateAttr(default=())

    @property
    def is_cluster(self) -> bool:
        """Whether there is a cluster to use, and not one machine alone."""
        return bool(self.temporal.address)

    def source_of(self, name: str) -> str:
        """Where `section.key` has its value from: `environment NAME`, `file PATH` or `default`."""
        section, _, key = name.partition(".")
        return next((layer.source(section, key) for layer in self._layers if layer.holds(section, key)), "default")


@dataclass(frozen=True, slots=True)
class Setting:
    """One key as documentation shows it."""

    section: str
    key: str
    description: str
    default: Any  # where it depends on the machine, the example
    example: Any

    @property
    def name(self) -> str:
        """As errors and `config show` write it: `engine.slots`."""
        return f"{self.section}.{self.key}"

    @property
    def environment(self) -> str:
        """The variable that sets it: `V2T_ENGINE__SLOTS`."""
        return variable(self.section, self.key)


def describe_settings() -> Iterator[Setting]:
    """Every setting, in the order of the sections."""
    for section in Settings.model_fields:
        for key, field in _section(section).model_fields.items():
            example = (field.examples or [""])[0]
            default = example if field.default_factory else field.default
            if not isinstance(default, (str, int, float, tuple)):
                default = str(default)
            yield Setting(section, key, field.description or "", default, example)


def describe_section(section: str) -> str:
    """What a section is about, in one line."""
    return _section(section).__doc__ or ""


def variable(section: str, key: str) -> str:
    """The environment variable of a key, or of a section where there is no key."""
    return f"{PREFIX}{section}__{key}".upper().removesuffix("__")


def _section(section: str) -> type[Section]:
    return cast("type[Section]", Settings.model_fields[section].annotation)
