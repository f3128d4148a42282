"""The operator of a lab: somebody with an inventory, who runs `v2t cluster …`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_SECONDS = 1800.0


@dataclass(frozen=True)
class Operator:
    """Somebody with an inventory of the lab."""

    inventory: Path

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run `v2t cluster …` and return what it says as JSON, its exit code among it."""
        command = [sys.executable, "-m", "v2t", "cluster", *arguments, "--json"]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        assert finished.stdout, finished.stderr[-3000:]
        said: dict[str, Any] = json.loads(finished.stdout)
        return said

    def secrets(self) -> list[str]:
        """Every secret of the inventory's vault."""
        command = ["ansible-vault", "view", "--vault-password-file", str(self.inventory / ".vault-password")]
        file = self.inventory / "group_vars" / "all" / "vault.yml"
        view = [str(Path(sys.executable).with_name(command[0])), *command[1:], str(file)]
        found = yaml.safe_load(subprocess.run(view, capture_output=True, text=True, check=True).stdout)
        return [value for name, value in found.items() if not name.endswith("_user")]

    def deploy(self, *options: str) -> dict[str, Any]:
        """Bring the lab to what the inventory says; it must succeed."""
        said = self.run("deploy", "--inventory", str(self.inventory), "--yes", *options)
        assert said["exit_code"] == 0, said["errors"]
        return said
