"""Names, addresses and places of a lab, all of which follow from its index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

INDICES = range(10)
USER = "operator"
"""The ordinary user of the hosts, who may do anything by sudo without a password."""


@dataclass(frozen=True)
class Layout:
    """One lab.

    Args:
        index: keeps it apart from other labs on this machine.
        hosts: their names; `m2`, and `m4-1` to `m4-9`.
    """

    index: int
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.index not in INDICES:
            raise ValueError(f"a lab's index is one of 0 to 9, not {self.index}")
        for host in self.hosts:
            self.address(host)

    @property
    def name(self) -> str:
        """Of the bridge, and what the names of cgroups begin with."""
        return f"v2tlab{self.index}"

    @property
    def subnet(self) -> str:
        return f"10.77.{self.index}.0/24"

    @property
    def gateway(self) -> str:
        return f"10.77.{self.index}.1"

    def address(self, host: str) -> str:
        """10.77.<index>.2 for m2, .41 for m4-1, and so on."""
        if host == "m2":
            return f"10.77.{self.index}.2"
        if number := re.fullmatch(r"m4-([1-9])", host):
            return f"10.77.{self.index}.4{number[1]}"
        raise ValueError(f"a lab's hosts are m2 and m4-1 to m4-9, not {host!r}")

    def machine(self, host: str) -> str:
        """Its name on this machine; short, because an interface's name has at most 15 characters."""
        return f"lab{self.index}-{host}"

    def interface(self, host: str) -> str:
        """The end of its network cable that is in the bridge."""
        return f"vb-{self.machine(host)}"

    def cgroup(self, host: str) -> str:
        return f"{self.name}-{host}"

    @property
    def folder(self) -> Path:
        return cache() / str(self.index)

    @property
    def pid_file(self) -> Path:
        """Of the keeper."""
        return cache() / f"{self.index}.pid"

    @property
    def socket(self) -> Path:
        return self.folder / "keeper.socket"

    @property
    def key(self) -> Path:
        """The private key that all hosts accept for root and for `USER`."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def host_folder(self, host: str) -> Path:
        return self.folder / "hosts" / host

    def console(self, host: str) -> Path:
        """What the host said while it booted."""
        return self.host_folder(host) / "console.log"


def cache() -> Path:
    return platformdirs.user_cache_path("v2t") / "lab"
