"""The operating systems that hosts may run."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from support.lab.layout import cache

_UBUNTU_KEYS = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")
_UBUNTU_KEYS_PACKAGE = "http://archive.ubuntu.com/ubuntu/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
_UBUNTU_KEYS_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"


@dataclass(frozen=True)
class System:
    """A release of a distribution.

    Args:
        suite: its name on the mirrors.
        sources: of apt.
    """

    suite: str
    sources: str

    def keyring(self) -> list[str]:
        """Options of mmdebstrap, whose own keys are Debian's."""
        return [f"--keyring={_ubuntu_keys()}"] if "ubuntu" in self.sources else []


def _debian(suite: str) -> System:
    return System(
        suite,
        f"""\
deb http://deb.debian.org/debian {suite} main
deb http://deb.debian.org/debian {suite}-updates main
deb http://deb.debian.org/debian-security {suite}-security main
""",
    )


def _ubuntu(suite: str) -> System:
    places = (suite, f"{suite}-updates", f"{suite}-security")
    return System(suite, "".join(f"deb http://archive.ubuntu.com/ubuntu {place} main universe\n" for place in places))


SYSTEMS = {
    "debian-12": _debian("bookworm"),
    "ubuntu-22.04": _ubuntu("jammy"),
    "ubuntu-24.04": _ubuntu("noble"),
}
DEFAULT_SYSTEM = "debian-12"


def _ubuntu_keys() -> Path:
    """This machine's, or those of a package that is known by its hash: Debian 12 has none that is new enough."""
    if _UBUNTU_KEYS.exists():
        return _UBUNTU_KEYS
    place = cache() / f"ubuntu-keyring-{_UBUNTU_KEYS_SHA256[:16]}.gpg"
    if not place.exists():
        with urllib.request.urlopen(_UBUNTU_KEYS_PACKAGE, timeout=60) as answer:
            package = answer.read()
        if hashlib.sha256(package).hexdigest() != _UBUNTU_KEYS_SHA256:
            raise ValueError(f"{_UBUNTU_KEYS_PACKAGE} is not what it was")
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            file = Path(folder) / "keyring.deb"
            file.write_bytes(package)
            subprocess.run(["dpkg-deb", "--extract", str(file), folder], check=True)
            (Path(folder) / _UBUNTU_KEYS.relative_to("/")).rename(place)
    return place
