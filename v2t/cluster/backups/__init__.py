"""Backups of a cluster, as they are made, checked and brought back on its control host.

docs/decisions/0013-backups-without-a-pause.md says why what is in one belongs together.
"""

from __future__ import annotations
