"""The folder that backups lie in: which are whole, which leave, and the pool of contents that they share.

`<name>/` is a backup, named by the time it was begun. One that is being made, or was interrupted, is called
`<name>.incomplete`; it gets its name when all is on the disk, so that a backup is there whole or not at all. The
contents of objects lie in `objects/`, named by their digest, once for all backups.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from v2t.cluster.backups.manifest import OBJECTS, Manifest, StoredObject, parse_manifest, parse_object
from v2t.domain.errors import DISK_FULL, ClusterBusy, StorageDamaged, StorageFull, StorageUnwritable, UsageError
from v2t.storage.file_locks import try_exclusive
from v2t.storage.files import flush_folder

LATEST = "latest"
MANIFEST = "manifest.json"
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
INCOMPLETE = ".incomplete"
_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


def name_of(moment: datetime) -> str:
    """The name of a backup that is begun then."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")


class Shelf:
    """All backups of a cluster.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pool = folder / "objects"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the backups for oneself.

        Raises:
            ClusterBusy: somebody else makes, checks or brings back a backup.
            StorageUnwritable: there is no folder for backups.
        """
        with named_disk_errors(self.folder):
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            if not try_exclusive(descriptor):
                raise ClusterBusy("another backup, verification or restoration goes on; wait until that has ended")
            yield
        finally:
            os.close(descriptor)

    def names(self) -> list[str]:
        """The whole backups, the oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())

    def find(self, name: str) -> Path:
        """The folder of a whole backup, `latest` among the names. Raises UsageError."""
        names = self.names()
        wanted = names[-1] if name == LATEST and names else name
        if wanted not in names:
            raise UsageError(f"there is no whole backup {name!r} in {self.folder}; `v2t cluster backup list` shows all")
        return self.folder / wanted

    def read_manifest(self, backup: Path) -> Manifest:
        """What is in a backup. Raises StorageDamaged."""
        try:
            return parse_manifest((backup / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, StorageDamaged) as error:
            raise StorageDamaged(f"{backup / MANIFEST} is damaged; verify another backup: {error}") from error

    def objects(self, backup: Path) -> Iterator[StoredObject]:
        """The objects of a backup, in the order in which they were copied. Raises StorageDamaged."""
        return read_objects(backup / OBJECTS)

    def content(self, sha256: str) -> Path:
        """Where the content with a digest lies, or would."""
        return self._pool / sha256[:2] / sha256

    @property
    def incoming(self) -> Path:
        """Folder for contents that are being written."""
        return self._pool / "incoming"

    @contextmanager
    def begun(self, moment: datetime) -> Iterator[Path]:
        """Make a backup in the folder that is yielded; when the body fails nothing of it is left."""
        with self.begun_as(name_of(moment)) as draft:
            yield draft

    @contextmanager
    def begun_as(self, name: str) -> Iterator[Path]:
        """The same for one that has its name already."""
        self.clean()
        draft = self.folder / f"{name}{INCOMPLETE}"
        try:
            with named_disk_errors(self.folder):
                draft.mkdir(_PRIVATE_FOLDER)
                yield draft
                os.sync()  # the pool's folders too
                draft.rename(self.folder / name)
                flush_folder(self.folder)
        except BaseException:
            self.clean()
            raise

    def keep(self, number: int) -> list[str]:
        """Let all but the newest go; returns their names."""
        old = self.names()[:-number]
        for name in old:
            (self.folder / name).rename(self.folder / f"{name}{INCOMPLETE}")
        if old:
            self.clean()
        return old

    def clean(self) -> None:
        """Take away what was interrupted, and contents that no backup has any more."""
        for draft in self.folder.glob(f"*{INCOMPLETE}"):
            shutil.rmtree(draft, ignore_errors=True)
        if not self._pool.is_dir():
            return
        used = {bytes.fromhex(each.sha256) for name in self.names() for each in self.objects(self.folder / name)}
        for path in self._pool.glob("*/*"):
            if len(path.name) != 64 or bytes.fromhex(path.name) not in used:
                path.unlink(missing_ok=True)


def read_objects(file: Path) -> Iterator[StoredObject]:
    """The objects that a file has a line for. Raises StorageDamaged."""
    try:
        with file.open(encoding="utf-8") as lines:
            yield from map(parse_object, lines)
    except (OSError, UnicodeDecodeError) as error:
        raise StorageDamaged(f"{file} is damaged: {error}") from error


@contextmanager
def named_disk_errors(folder: Path) -> Iterator[None]:
    """Raise errors of the disk that backups lie on as errors of v2t."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise full(folder) from error
        raise StorageUnwritable(f"{folder} cannot be used for backups: {error.strerror or error}") from error


def full(folder: Path) -> StorageFull:
    """What is said of a disk without space."""
    return StorageFull(
        f"no space is left in {folder}; free some, lower backup_keep or set backup_folder to a larger disk"
    )
