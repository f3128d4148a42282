"""How a worker is known to the cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """What tells the processes that poll a queue apart; as text `<host>:<pid>:<kind>`."""

    host: str
    process: str = ""
    kind: str = ""
    """cpu, gpu, memory or remote; empty where the identity does not say."""

    @classmethod
    def parse(cls, text: str) -> WorkerIdentity:
        """The identity of any Temporal client; one that is not a worker's is a host of that name."""
        host, _, rest = text.partition(":")
        process, _, kind = rest.partition(":")
        return cls(host, process, kind)

    def __str__(self) -> str:
        return ":".join((self.host, self.process, self.kind))
