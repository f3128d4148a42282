"""A backup between the cluster's host and a folder of the operator's machine: what the other side lacks, in a stream.

Both folders are built alike, so that each is a `Shelf`; contents that are there already do not travel again.
"""

from __future__ import annotations

import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO

from v2t.cluster.backups.shelf import INCOMPLETE, Shelf, named_disk_errors
from v2t.cluster.hosts import UNREACHABLE, Host, as_root, ask, ssh_command, unreachable
from v2t.domain.errors import StorageError, V2TError

AS_ACCOUNT = "env --chdir=/ runuser --user=v2t-backup -- "
"""Before what root does as the account of the backups, which may not be in the folder that SSH begins in."""


class Transport:
    """The way to the backups of a host.

    Args:
        host: where they lie.
        folder: in which folder there.
        shelf: the operator's.
        tell: told how it comes along.
    """

    def __init__(self, host: Host, folder: PurePosixPath, shelf: Shelf, tell: Callable[[str], object]) -> None:
        self._host = host
        self._folder = folder
        self._shelf = shelf
        self._tell = tell

    def fetch(self, name: str) -> int:
        """Bring a whole backup to the operator's folder, unless it is there.

        Returns:
            How many contents came.

        Raises:
            HostUnreachable, StorageError: it did not come whole, and is not there.
        """
        with named_disk_errors(self._shelf.folder):
            self._shelf.folder.mkdir(0o700, parents=True, exist_ok=True)
        with self._shelf.alone():
            if name in self._shelf.names():
                return 0
            with self._shelf.begun_as(name) as draft:
                self._receive([name], draft)
                missing = sorted(
                    {one.sha256 for one in self._shelf.objects(draft) if not self._shelf.content(one.sha256).is_file()}
                )
                self._tell(f"fetching {len(missing)} contents of objects")
                if missing:
                    self._receive([_in_pool(sha256) for sha256 in missing], self._shelf.folder)
        return len(missing)

    def send(self, name: str) -> int:
        """Bring a backup of the operator's folder to the host, unless it is there.

        Returns:
            How many contents went.

        Raises:
            UsageError: the operator's folder has no such backup.
            HostUnreachable, StorageError: it did not get there whole, and is not there.
        """
        with self._shelf.alone(), named_disk_errors(self._shelf.folder):
            backup = self._shelf.find(name)
            there = self._run(f"find {self._quoted()} -maxdepth 3 -printf '%P\\n'").split()
            if backup.name in there:
                return 0
            wanted = {_in_pool(each.sha256) for each in self._shelf.objects(backup)}
            missing = sorted(wanted.difference(there))
            self._tell(f"sending {len(missing)} contents of objects")
            draft = f"{backup.name}{INCOMPLETE}"
            paths = [(path, f"{draft}/{path.relative_to(backup)}") for path in sorted(backup.rglob("*"))]
            self._send([(self._shelf.folder / path, path) for path in missing] + paths)
            self._run(f"mv {self._quoted(draft)} {self._quoted(backup.name)}")
        return len(missing)

    def _quoted(self, name: str = "") -> str:
        return shlex.quote(str(self._folder / name))

    def _run(self, command: str) -> str:
        answer = ask(self._host, as_root(f"{AS_ACCOUNT}{command}"))
        if answer.exit_code:
            raise self._failed(answer.exit_code, answer.stderr)
        return answer.stdout

    def _receive(self, names: Iterable[str], folder: Path) -> None:
        """Unpack files of the host's folder; those of a backup without its name before them."""
        command = f"tar --create --file=- --directory={self._quoted()} --files-from=-"
        with tempfile.TemporaryFile("w+") as wanted, tempfile.TemporaryFile("w+") as said:
            wanted.write("".join(f"{name}\n" for name in names))
            wanted.seek(0)
            line = ssh_command(self._host, as_root(command))
            with subprocess.Popen(line, stdin=wanted, stdout=subprocess.PIPE, stderr=said) as process:
                assert process.stdout is not None
                try:
                    with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                        for member in archive:
                            parts = PurePosixPath(member.name).parts
                            member.name = str(PurePosixPath(*(parts if parts[0] == "objects" else parts[1:])))
                            archive.extract(member, folder, filter="data")
                except tarfile.TarError as error:
                    process.kill()
                    raise self._failed(process.wait() or 1, _read(said) or str(error)) from error
            if process.returncode:
                raise self._failed(process.returncode, _read(said))

    def _send(self, files: Iterable[tuple[Path, str]]) -> None:
        command = f"tar --extract --file=- --directory={self._quoted()}"
        line = ssh_command(self._host, as_root(f"{AS_ACCOUNT}{command}"))
        with (
            tempfile.TemporaryFile("w+") as said,
            subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said) as process,
        ):
            assert process.stdin is not None
            try:
                with process.stdin, tarfile.open(fileobj=process.stdin, mode="w|") as archive:
                    for path, name in files:
                        archive.add(path, name, recursive=False)
            except BrokenPipeError:
                process.wait()  # it says why
            if process.wait():
                raise self._failed(process.returncode, _read(said))

    def _failed(self, code: int, words: str) -> V2TError:
        lines = words.strip().splitlines()
        last = lines[-1] if lines else f"exit code {code}"
        if code == UNREACHABLE:
            return unreachable(self._host.name, last)
        return StorageError(f"{self._host.name}: the backup did not travel whole, run the command again: {last}")


def _in_pool(sha256: str) -> str:
    return f"objects/{sha256[:2]}/{sha256}"


def _read(said: IO[str]) -> str:
    said.seek(0)
    return said.read()
