"""The root file system that all hosts begin with: a bare system that Ansible can reach. Built once a recipe."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.lab.layout import USER, cache
from support.lab.machine import CONTAINED
from support.lab.systems import System

_HERE = Path(__file__).parent
_CERTIFICATES = Path("/usr/local/share/ca-certificates")
"""Authorities that this machine trusts beside Debian's: its way out may lead through one of them."""

_PACKAGES = (
    "ca-certificates,curl,dbus,iproute2,iputils-ping,libpam-systemd,openssh-server,procps,python3,python3-apt,sudo,"
    "systemd,systemd-sysv"
)

_OPTIONS = (
    "--quiet",
    "--variant=apt",
    "--mode=root",
    "--skip=cleanup/apt",  # keep the lists, as an installed host has them
    # a mirror may stand still at a date, and this machine's clock may be wrong
    '--aptopt=Acquire::Check-Valid-Until "false"',
    '--aptopt=Acquire::Check-Date "false"',
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    f"--include={_PACKAGES}",
)

_FINISH = f"""\
set -eu
update-ca-certificates >/dev/null 2>&1
useradd --create-home --uid 1000 --gid users --shell /bin/bash {USER}
echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}
chmod 440 /etc/sudoers.d/{USER}
systemctl enable --quiet systemd-networkd ssh
systemctl mask --quiet systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer
rm -f /etc/ssh/ssh_host_* /var/cache/apt/archives/*.deb
: >/etc/machine-id
touch -d @0 /var/lib/apt/lists
"""
"""Run inside. Debian has a group `operator` that is not meant for people. The timers would hold apt's lock while a test
wants it. Every host gets an identity and SSH keys of its own. The lists are made old, or Ansible's `cache_valid_time`
would take them for fresh."""


def base(system: System) -> Path:
    """The folder of the root file system, which nobody may write to; built if this recipe was not yet."""
    folder = cache() / "bases" / _recipe(system)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            print("lab: building the hosts' root file system (about a minute, once)", file=sys.stderr, flush=True)
            _build(system, folder)
    return folder


def _recipe(system: System) -> str:
    parts = [*_OPTIONS, system.sources, _FINISH, (_HERE / "first-process.sh").read_text()]
    parts += [file.read_text() for file in _certificates()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _certificates() -> list[Path]:
    return sorted(_CERTIFICATES.glob("*.crt"))


def _build(system: System, folder: Path) -> None:
    draft = folder.with_name(f".draft-{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)  # of a build that was killed
    draft.mkdir()
    try:
        root = draft / "root"
        sources = draft / "sources.list"
        sources.write_text(system.sources)
        # contained, so that whatever fails, no removal below reaches through one of its mounts
        _run([*CONTAINED, "mmdebstrap", *_OPTIONS, *system.keyring(), system.suite, str(root), str(sources)])
        for file in _certificates():
            shutil.copy(file, root / "usr/local/share/ca-certificates")
        if _certificates():  # pip has a list of authorities of its own
            (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
        first_process = root / "sbin/first-process"
        shutil.copy(_HERE / "first-process.sh", first_process)
        first_process.chmod(0o755)
        _run(["chroot", str(root), "/bin/sh", "-c", _FINISH])
        root.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(command: list[str]) -> None:
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    done = subprocess.run(
        command, env={**clean, **proxies}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BaseFailed(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


class BaseFailed(Exception):
    """The root file system could not be built; the message has the builder's last words."""
