"""How the programs of Ansible are called: argument lists and environments, built by pure functions, and one call."""

from __future__ import annotations

import configparser
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2t.domain.errors import AnsibleNotInstalled

_TUNABLE = {
    "ANSIBLE_FORKS": ("defaults", "forks", "20"),
    "ANSIBLE_PYTHON_INTERPRETER": ("defaults", "interpreter_python", "auto_silent"),
    "ANSIBLE_SSH_ARGS": ("ssh_connection", "ssh_args", "-o ControlMaster=auto -o ControlPersist=120s"),
    "ANSIBLE_TIMEOUT": ("defaults", "timeout", "20"),
    "ANSIBLE_PIPELINING": ("connection", "pipelining", "True"),
}
"""Variable → its section and key in ansible.cfg, and the value where neither file nor environment has one."""

_STRATEGY = ("ANSIBLE_STRATEGY", "ANSIBLE_STRATEGY_PLUGINS")
"""Who chooses a strategy of their own is not given ours: decision 0014."""

_ALWAYS = {
    "ANSIBLE_DEPRECATION_WARNINGS": "False",
    "ANSIBLE_HOST_KEY_CHECKING": "True",
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
    "ANSIBLE_LOCALHOST_WARNING": "False",
    "ANSIBLE_NOCOLOR": "True",
    "ANSIBLE_NOCOWS": "True",
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
    "ANSIBLE_SHOW_CUSTOM_STATS": "True",
    "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl",
    "PYTHONUNBUFFERED": "1",
}
"""What reading Ansible's output and the cluster's safety rely on."""

_DANGEROUS = ("ANSIBLE_CHECK_MODE_MARKERS", "ANSIBLE_FORCE_COLOR", "ANSIBLE_JSON_INDENT", "ANSIBLE_LOG_PATH")
"""Variables of the caller that would spoil the output, or write it where it should not be."""


@dataclass(frozen=True, slots=True)
class PlaybookOptions:
    """What of a playbook is run, and how."""

    check: bool = False
    diff: bool = False
    limit: str = ""
    tags: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """What the playbook is told besides the inventory. No secret: everybody on this machine sees a command line."""

    def flags(self) -> list[str]:
        """As ansible-playbook takes them; values stand behind `=`, so that none is taken for an option."""
        flags = ["--check"] if self.check else []
        flags += ["--diff"] if self.diff else []
        flags += [f"--limit={self.limit}"] if self.limit else []
        flags += [f"--tags={self.tags}"] if self.tags else []
        return flags + ([f"--extra-vars={json.dumps(self.variables)}"] if self.variables else [])


def playbook_command(program: Path, hosts: Path, playbook: Path, options: PlaybookOptions) -> list[str]:
    """The argument list of a playbook's run."""
    return [str(program), f"--inventory={hosts}", *options.flags(), str(playbook)]


def environment(
    caller: Mapping[str, str],
    *,
    roles: Path,
    configuration: Path | None = None,
    configured: frozenset[tuple[str, str]] = frozenset(),
    vault_password: Path | None = None,
    strategies: Path | None = None,
) -> dict[str, str]:
    """The environment of Ansible's programs.

    Args:
        caller: the operator's own, kept but for what would spoil the run.
        roles: folder of v2t's roles.
        configuration: the inventory's ansible.cfg, where there is one.
        configured: (section, key) that it sets, which are left to it.
        vault_password: file of the vault's password; it is named here, and never on a command line.
        strategies: folder of Mitogen's strategies, where it is installed.
    """
    kept = {name: value for name, value in caller.items() if name not in _DANGEROUS}
    for name, (section, key, value) in _TUNABLE.items():
        if (section, key) not in configured:
            kept.setdefault(name, value)
    own_strategy = ("defaults", "strategy") in configured or any(name in kept for name in _STRATEGY)
    if strategies and not own_strategy:
        kept |= dict(zip(_STRATEGY, ("mitogen_linear", str(strategies)), strict=True))
    kept |= _ALWAYS | {"ANSIBLE_ROLES_PATH": str(roles)}
    if configuration:
        kept["ANSIBLE_CONFIG"] = str(configuration)
    if vault_password:
        kept["ANSIBLE_VAULT_PASSWORD_FILE"] = str(vault_password)
    return kept


def find_strategies() -> Path | None:
    """The folder of Mitogen's strategies; None where it is not installed."""
    found = importlib.util.find_spec("ansible_mitogen")
    return Path(found.origin).parent / "plugins" / "strategy" if found and found.origin else None


def read_configured(configuration: Path) -> frozenset[tuple[str, str]]:
    """Which (section, key) an ansible.cfg sets; Ansible itself complains of one that is not valid."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(configuration, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return frozenset()
    found = {(section, key) for section in parser.sections() for key in parser.options(section)}
    return frozenset(found | {("connection", key) for section, key in found if section == "ssh_connection"})


def find_program(name: str) -> Path:
    """One of Ansible's programs: beside this Python, or on the path.

    Raises:
        AnsibleNotInstalled: it is nowhere.
    """
    beside = Path(sys.executable).parent / name
    found = beside if beside.exists() else shutil.which(name)
    if not found:
        raise AnsibleNotInstalled(f"{name} is not installed; `pip install 'v2t[cluster]'` installs it")
    return Path(found)


def call(
    command: Sequence[str], environment: Mapping[str, str], *, standard_input: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a short one of Ansible's programs to its end, apart from the terminal."""
    return subprocess.run(
        command, env=environment, input=standard_input, capture_output=True, text=True, errors="replace", check=False
    )


def complaint(text: str) -> str:
    """The line of Ansible's talk that says what is wrong: its first error, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.partition("]: ")[2] for line in lines if line.startswith(("[ERROR]: ", "[FATAL]: "))]
    return next((error for error in errors if error), lines[-1] if lines else "it said nothing")
