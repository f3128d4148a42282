"""The operator of a lab: somebody with an inventory, who runs `v2t cluster …`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_SECONDS = 1800.0


@dataclass(frozen=True)
class Operator:
    """Somebody with an inventory of the lab."""

    inventory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run `v2t cluster …` and return what it says as JSON, its exit code among it."""
        finished = subprocess.run(
            self._command(*arguments),
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert finished.stdout, finished.stderr[-3000:]
        said: dict[str, Any] = json.loads(finished.stdout)
        return said

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `v2t cluster …`, whose progress is on its stderr."""
        return subprocess.Popen(
            self._command(*arguments),
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hosts(self) -> dict[str, Any]:
        """The inventory's hosts and their own variables."""
        document = yaml.safe_load((self.inventory / "hosts.yml").read_text())
        found: dict[str, Any] = document["v2t"]["hosts"]
        return found

    def secrets(self) -> list[str]:
        """Every secret of the inventory's vault."""
        command = ["ansible-vault", "view", "--vault-password-file", str(self.inventory / ".vault-password")]
        file = self.inventory / "group_vars" / "all" / "vault.yml"
        view = [str(Path(sys.executable).with_name(command[0])), *command[1:], str(file)]
        found = yaml.safe_load(subprocess.run(view, capture_output=True, text=True, check=True).stdout)
        return [value for name, value in found.items() if not name.endswith("_user")]

    def on_inventory(self, *arguments: str) -> dict[str, Any]:
        """Run a command on the inventory, whatever comes of it."""
        command, *rest = arguments
        return self.run(command, "--inventory", str(self.inventory), *rest)

    def deploy(self, *options: str) -> dict[str, Any]:
        """Bring the lab to what the inventory says; it must succeed."""
        said = self.on_inventory("deploy", "--yes", *options)
        assert said["exit_code"] == 0, said["errors"]
        return said

    def refused(self, *options: str) -> tuple[int, str]:
        """Deploy where that cannot succeed: the exit code, and all that is wrong."""
        said = self.on_inventory("deploy", "--yes", *options)
        assert said["exit_code"] != 0, said
        return said["exit_code"], "\n".join(error["message"] for error in said["errors"])

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "v2t", "cluster", *arguments, "--json"]
