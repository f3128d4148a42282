"""What the programs above ask of a cluster's Temporal; nothing above this package knows it."""

from __future__ import annotations

from v2t.client.connection import TlsFiles
from v2t.client.jobs import Client, JobView

__all__ = ["Client", "JobView", "TlsFiles"]
