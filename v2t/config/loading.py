"""The one reader of v2t.toml and of the V2T_* environment.

A value is taken from the first of these that has it: the environment (`V2T_SECTION__KEY`), `./v2t.toml`,
`~/.config/v2t/config.toml`, `/etc/v2t/config.toml`, the default. Where `V2T_CONFIG` names a file, it is read instead
of the three. Flags are laid on top by the commands.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import platformdirs
from pydantic import ValidationError

from v2t.config.machine import user_folder
from v2t.config.settings import PREFIX, Settings, describe_settings, variable
from v2t.domain.errors import ConfigurationError, InputNotFound

CONFIG_VARIABLE = "V2T_CONFIG"
"""Names a file that is read instead of all others, so that several clusters can be told apart."""


def user_settings_file() -> Path | None:
    """The settings file of this account, whether it exists or not; None for an account without a home."""
    own = user_folder(platformdirs.user_config_path)
    return own / "config.toml" if own else None


def settings_files() -> tuple[Path, ...]:
    """The files that are read, the strongest first, whether they exist or not.

    Raises:
        ConfigurationError: the one that `V2T_CONFIG` names does not exist.
    """
    if named := os.environ.get(CONFIG_VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"{CONFIG_VARIABLE} names {path}, which does not exist; mend or unset it")
        return (path,)
    user_file = user_settings_file()
    return (Path("v2t.toml"), *((user_file,) if user_file else ()), Path("/etc/v2t/config.toml"))


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
        return f"file {self.path}" if self.path else f"environment {variable(section, key)}"

    def place(self, section: str, key: str, entry: int = 0, field: str = "") -> str:
        """The source with the line, as editors and compilers write it; of a list of tables, of the entry's field."""
        if self.path is None:
            return variable(section, key)
        line = _line_of(self.text, section, key) or _line_of_entry(self.text, section, key, entry, field)
        return f"{self.path}:{line}" if line else str(self.path)


def _environment_layer() -> _Layer:
    """What `V2T_SECTION__KEY` variables say; other `V2T_` names are not settings."""
    values: dict[str, dict[str, str]] = {}
    for name, value in os.environ.items():
        if not name.upper().startswith(PREFIX):
            continue
        section, nested, key = name.upper().removeprefix(PREFIX).lower().partition("__")
        if section in Settings.model_fields and not nested:
            raise ConfigurationError(f"environment: {name} is a section; set single keys as {PREFIX}SECTION__KEY")
        if nested and section not in Settings.model_fields:
            raise ConfigurationError(_unknown(name, f"{section}.{key}"))
        if nested:
            values.setdefault(section, {})[key] = value
    return _Layer(None, values)


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
    location = first["loc"]
    section, key = (*map(str, location), "", "")[:2]
    inner = location[2:]  # of a list of tables, which one of them, and its key
    entry = inner[0] if inner and isinstance(inner[0], int) else 0
    field = str(inner[1]) if len(inner) > 1 else ""
    place = next((layer.place(section, key, entry, field) for layer in layers if layer.holds(section, key)), "settings")
    name = f"{section}.{key}" if key else section
    name += "".join(f" {part + 1}" if isinstance(part, int) else f".{part}" for part in inner)
    match first["type"]:
        case "extra_forbidden":
            message = _unknown_field(place, name, section, key, field) if field else _unknown(place, name)
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


def _unknown_field(place: str, name: str, section: str, key: str, field: str) -> str:
    """The same for a field of a table in a list."""
    keys: Any = Settings.model_fields[section].annotation
    table = get_args(keys.model_fields[key].annotation)[0]
    nearest = difflib.get_close_matches(field, list(table.model_fields), n=1, cutoff=0.5)
    advice = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(table.model_fields)}"
    return f"{place}: there is no {name}; {advice}"


def _line_of_entry(text: str, section: str, key: str, entry: int, field: str) -> int:
    """The line of a field in an entry of `[[section.key]]`, counted from 0, or of the entry; 0 when not found."""
    header = re.compile(rf"\s*\[\[\s*{re.escape(section)}\s*\.\s*{re.escape(key)}\s*\]\]")
    lines = text.splitlines()
    begins = [number for number, line in enumerate(lines, start=1) if header.match(line)]
    if entry >= len(begins):
        return 0
    begin = begins[entry]
    for number, line in enumerate(lines[begin:], start=begin + 1):
        if re.match(r"\s*\[", line):
            break
        if field and re.match(rf"\s*[\"']?{re.escape(field)}[\"']?\s*=", line):
            return number
    return begin


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
