"""The settings: what they are, and the one reader of v2t.toml and of the V2T_* environment.

A value is taken from the first of these that has it: the environment (`V2T_SECTION__KEY`), `./v2t.toml`,
`~/.config/v2t/config.toml`, `/etc/v2t/config.toml`, the default. Flags are laid on top by the commands.
Importing this module costs about 0.3 s, pydantic-settings' own; import it inside a command.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import CoreSchema, core_schema
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from v2t.domain.errors import ConfigurationError, InputNotFound
from v2t.domain.jobs import DEFAULT_MODEL

_PREFIX = "V2T_"
_HOMELESS_DATA = Path("/var/lib/v2t")
"""Where data goes when the account has no home: the place of a service's data in the Filesystem Hierarchy Standard."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A secret given as itself, as `file:/path` or as `env:NAME`; read when it is used, never shown."""

    reference: str

    def reveal(self) -> str:
        """The secret itself, without the line end of its file.

        Raises:
            ConfigurationError: the file or the variable is not there.
        """
        kind, _, name = self.reference.partition(":")
        try:
            if kind == "file":
                return Path(name).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
            if kind == "env":
                return os.environ[name]
        except KeyError:
            raise ConfigurationError(f"the secret env:{name} is not set; export {name}") from None
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the secret {self.reference} cannot be read; check the file") from error
        return self.reference

    def __str__(self) -> str:
        if not self.reference or self.reference.startswith(("file:", "env:")):
            return self.reference
        return "(redacted)"

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> CoreSchema:
        """Validated from a string, written as the redacted one."""
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )


def _absolute(path: Path) -> Path:
    try:
        expanded = path.expanduser()
    except RuntimeError as error:
        raise ValueError("there is no home folder to put in the place of ~") from error
    if not expanded.is_absolute():
        raise ValueError("a folder must be absolute or begin with ~")
    return expanded


Folder = Annotated[Path, AfterValidator(_absolute)]


def _user_folder(find: Callable[[str], Path]) -> Path | None:
    """A folder of this account, or None for an account without a home."""
    try:
        folder = find("v2t")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def _data_folder() -> Path:
    return _user_folder(platformdirs.user_data_path) or _HOMELESS_DATA


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StandaloneSettings(_Section):
    """What v2t keeps when it runs on one machine without a cluster."""

    folder: Folder = Field(
        default_factory=_data_folder,
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


class ModelsSettings(_Section):
    """Speech model files."""

    folder: Folder = Field(
        default_factory=lambda: _data_folder() / "models",
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


class EngineSettings(_Section):
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


class AudioSettings(_Section):
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


class OutputSettings(_Section):
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


class Settings(BaseSettings):
    """Every setting; `Settings()` is the defaults, `load_settings()` reads files and environment too."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    standalone: StandaloneSettings = Field(default_factory=StandaloneSettings)
    models: ModelsSettings = Field(default_factory=ModelsSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    audio: AudioSettings = Field(default_factory=AudioSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)

    _layers: tuple[_Layer, ...] = PrivateAttr(default=())

    def source_of(self, name: str) -> str:
        """Where `section.key` has its value from: `environment NAME`, `file PATH` or `default`."""
        section, _, key = name.partition(".")
        return next((layer.source(section, key) for layer in self._layers if layer.holds(section, key)), "default")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: `load_settings` layers the rest, to know where each value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


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
        return _variable(self.section, self.key)


def describe_settings() -> Iterator[Setting]:
    """Every setting, in the order of the sections."""
    for section in Settings.model_fields:
        for key, field in _section(section).model_fields.items():
            example = (field.examples or [""])[0]
            default = example if field.default_factory else field.default
            yield Setting(section, key, field.description or "", default, example)


def describe_section(section: str) -> str:
    """What a section is about, in one line."""
    return _section(section).__doc__ or ""


def _section(section: str) -> type[_Section]:
    return cast("type[_Section]", Settings.model_fields[section].annotation)


def settings_files() -> tuple[Path, ...]:
    """The files that are read, the strongest first, whether they exist or not."""
    user_folder = _user_folder(platformdirs.user_config_path)
    user_file = (user_folder / "config.toml",) if user_folder else ()
    return (Path("v2t.toml"), *user_file, Path("/etc/v2t/config.toml"))


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigurationError: a key is unknown or a value wrong; the message says where it stands.
    """
    files = (_file_layer(path) for path in settings_files())
    return _assemble([_environment_layer(), *(layer for layer in files if layer)])


def load_file(path: Path) -> Settings:
    """The settings of one file alone, to check it.

    Raises:
        InputNotFound: there is no such file.
        ConfigurationError: a key is unknown or a value wrong; the message says where it stands.
    """
    layer = _file_layer(path)
    if layer is None:
        raise InputNotFound(f"{path} does not exist; `v2t config init --path {path}` writes one")
    return _assemble([layer])


@dataclass(frozen=True, slots=True)
class _Layer:
    """The values of one file, or of the environment where `path` is None."""

    path: Path | None
    values: dict[str, Any]
    text: str = ""

    def holds(self, section: str, key: str) -> bool:
        values = self.values.get(section)
        return key in values if isinstance(values, dict) and key else section in self.values

    def source(self, section: str, key: str) -> str:
        return f"file {self.path}" if self.path else f"environment {_variable(section, key)}"

    def place(self, section: str, key: str) -> str:
        """The source with the line, as editors and compilers write it."""
        if self.path is None:
            return _variable(section, key)
        line = _line_of(self.text, section, key)
        return f"{self.path}:{line}" if line else str(self.path)


def _environment_layer() -> _Layer:
    for name in os.environ:
        section, nested, key = name.upper().removeprefix(_PREFIX).partition("__")
        if name.upper().startswith(_PREFIX) and nested and section.lower() not in Settings.model_fields:
            raise ConfigurationError(_unknown(name, f"{section}.{key}".lower()))
    try:
        return _Layer(None, EnvSettingsSource(Settings)())
    except SettingsError as error:
        raise ConfigurationError(f"environment: {error}; set single keys as {_PREFIX}SECTION__KEY") from error


def _file_layer(path: Path) -> _Layer | None:
    """The layer of a file, or None where there is none."""
    try:
        path.stat()
    except OSError:  # a folder closed to this user holds no settings for it
        return None
    try:
        text = path.read_text(encoding="utf-8")
        return _Layer(path, tomllib.loads(text), text)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}; make it readable or move it away"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error


def _assemble(layers: Sequence[_Layer]) -> Settings:
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        for section, values in layer.values.items():
            below = merged.get(section)
            merged[section] = {**below, **values} if isinstance(below, dict) and isinstance(values, dict) else values
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, layers)) from error
    settings._layers = tuple(layers)  # noqa: SLF001 - pydantic keeps private attributes out of its constructor
    return settings


def _explain(error: ValidationError, layers: Sequence[_Layer]) -> str:
    """The first complaint in one line: where it stands, which key, what is wrong, and how many more there are."""
    first = error.errors(include_url=False, include_input=False)[0]
    section, key = (*map(str, first["loc"]), "", "")[:2]
    place = next((layer.place(section, key) for layer in layers if layer.holds(section, key)), "settings")
    name = f"{section}.{key}" if key else section
    match first["type"]:
        case "extra_forbidden":
            message = _unknown(place, name)
        case "model_type":
            message = f"{place}: {name} is a section; set its keys"
        case "string_pattern_mismatch":
            example = next(setting.example for setting in describe_settings() if setting.name == name)
            message = f"{place}: {name} is not well formed; an example is {example}"
        case _:
            message = f"{place}: {name}: {first['msg'].removeprefix('Value error, ')}"
    return f"{message} (and {error.error_count() - 1} more)" if error.error_count() > 1 else message


def _unknown(place: str, name: str) -> str:
    known = [setting.name for setting in describe_settings()]
    nearest = difflib.get_close_matches(name, known if "." in name else list(Settings.model_fields), n=1, cutoff=0.5)
    advice = f"did you mean {nearest[0]}?" if nearest else "`v2t config show` lists those there are"
    return f"{place}: there is no setting {name}; {advice}"


def _variable(section: str, key: str) -> str:
    return f"{_PREFIX}{section}__{key}".upper().removesuffix("__")


def _line_of(text: str, section: str, key: str) -> int:
    """The line of a key under its `[section]` header, or of the header without a key; 0 when not found."""
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            current = header[1]
            if current == section and not key:
                return number
        elif (current == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line)) or (
            not current and re.match(rf"\s*{re.escape(section)}\s*(=|\.\s*{re.escape(key)}\s*=)", line)
        ):
            return number
    return 0
