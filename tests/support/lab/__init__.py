"""Real hosts with systemd, on this machine, for tests and for people who work on the roles: see README.md.

A keeper process (`keeper.py`) owns them; whoever wants to use, kill or start one does so through `control.py`.
"""

from __future__ import annotations

from support.lab.control import Host, Lab, Result, find_lab, running_lab

__all__ = ["Host", "Lab", "Result", "find_lab", "running_lab"]
