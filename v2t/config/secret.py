"""Secrets as settings hold them: by reference, read when they are used, never shown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import CoreSchema, core_schema

from v2t.domain.errors import ConfigurationError


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


NO_SECRET = Secret("")
"""The default of a secret that need not be set."""
