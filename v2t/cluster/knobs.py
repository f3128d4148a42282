"""What may be set: the variables of the roles, from their `meta/argument_specs.yml` and `defaults/main.yml`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2t.cluster.files import NotYaml, load_yaml
from v2t.cluster.secrets import SECRETS
from v2t.domain.errors import ConfigurationError

_OF_ALL_ROLES = ("v2t_address", "v2t_name", "v2t_artifacts", "v2t_pki", "v2t_architecture")
"""docs/cluster-layout.md says what they mean."""
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "bool": bool,
    "int": int,
    "float": (int, float),
    "list": list,
    "dict": dict,
}


@dataclass(frozen=True, slots=True)
class Knobs:
    """Every variable that a role reads, with what its role says of it."""

    options: Mapping[str, Mapping[str, Any]]
    prefixes: tuple[str, ...] = field(default=("v2t_", "vault_"))
    """How variables begin that are ours, so that another of them is a mistake."""

    def problem(self, name: str, value: object) -> str:
        """What is wrong with a variable; empty: nothing, or it is not ours."""
        if name not in self.options:
            if not name.startswith(self.prefixes):
                return ""
            near = difflib.get_close_matches(name, self.options, n=1)
            return f"{name} is no variable of a role" + (f"; did you mean {near[0]}?" if near else "")
        return _value_problem(name, self.options[name], value)


def read_knobs(roles: Path) -> Knobs:
    """The variables of all roles in the folder.

    Raises:
        ConfigurationError: a role's file cannot be read, which is a damaged installation.
    """
    options: dict[str, Mapping[str, Any]] = {name: {} for name in _OF_ALL_ROLES}
    options |= {secret.name: {} for secret in SECRETS}
    prefixes = ["v2t_", "vault_"]
    for role in sorted(path for path in roles.iterdir() if path.is_dir()):
        entries = _load(role / "meta" / "argument_specs.yml").get("argument_specs") or {}
        stated = {name: spec for entry in entries.values() for name, spec in (entry.get("options") or {}).items()}
        options |= {name: {} for name in _load(role / "defaults" / "main.yml")} | stated
        prefixes.append(f"{role.name}_")
    return Knobs(options, tuple(prefixes))


def _load(path: Path) -> dict[str, Any]:
    try:
        return (load_yaml(path.read_text(encoding="utf-8")) if path.exists() else None) or {}
    except (OSError, ValueError, NotYaml) as error:
        raise ConfigurationError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _value_problem(name: str, spec: Mapping[str, Any], value: object) -> str:
    if isinstance(value, str) and "{{" in value:
        return ""  # known only when it is evaluated
    choices = spec.get("choices")
    if choices and value not in choices:
        return f"{name} is {value!r}, and must be one of {', '.join(map(str, choices))}"
    wanted = str(spec.get("type", "str"))
    kind = _TYPES.get(wanted)
    if kind and (not isinstance(value, kind) or (isinstance(value, bool) and wanted != "bool")):
        return f"{name} must be of type {wanted}, and is {value!r}"
    return ""
