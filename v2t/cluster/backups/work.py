"""Making, checking and bringing back a backup, on the host where PostgreSQL is."""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from v2t.cluster.backups import databases
from v2t.cluster.backups.manifest import OBJECTS, BucketFacts, FileFacts, Manifest, StoredObject
from v2t.cluster.backups.objects import Bucketeer, content_problem, digest_of, in_batches
from v2t.cluster.backups.shelf import MANIFEST, Shelf, name_of, named_disk_errors, read_objects
from v2t.domain.errors import StorageDamaged

_PASSES = 3
_SAY_SECONDS = 10.0
_AT_ONCE = 4
VERIFIED = "verified"
"""File in a backup whose time says when all of it was last found whole."""

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Made:
    """A new backup."""

    manifest: Manifest
    removed: Sequence[str]
    """Older backups that left for it."""


@dataclass(slots=True)
class _Tally:
    """Counts objects, writes their lines, and tells from time to time how far it is."""

    tell: Tell
    file: IO[str] | None = None
    without: set[str] = field(default_factory=set)
    """Keys that have not been met."""
    buckets: dict[str, BucketFacts] = field(default_factory=lambda: defaultdict(BucketFacts))
    _told_at: float = field(default_factory=time.monotonic)

    def note(self, one: StoredObject) -> None:
        self.buckets[one.bucket] = self.buckets[one.bucket].with_one(one.size_bytes)
        self.without.discard(one.key)
        if self.file:
            self.file.write(one.to_line())
        if time.monotonic() - self._told_at > _SAY_SECONDS:
            self._told_at = time.monotonic()
            self.tell(f"{self.objects} objects, {self.megabytes} MB")

    @property
    def objects(self) -> int:
        return sum(bucket.objects for bucket in self.buckets.values())

    @property
    def megabytes(self) -> int:
        return sum(bucket.size_bytes for bucket in self.buckets.values()) // 1_000_000


def create(shelf: Shelf, bucketeer: Bucketeer, inventory: Path, keep: int, version: str, tell: Tell) -> Made:
    """Make a backup, and let the oldest go.

    Args:
        shelf: where.
        bucketeer: the way to the objects.
        inventory: copy of the operator's inventory on this host; it need not be there.
        keep: how many backups stay.
        version: of v2t.
        tell: told how it comes along.

    Raises:
        ClusterBusy: another works with the backups.
        StorageError, ConnectionFailed, ConfigurationError: it failed, and nothing of it is left.
    """
    now = datetime.now(UTC)
    with shelf.alone():
        with shelf.begun(now) as draft:
            tell("dumping the databases")
            missing = _dump(draft)
            tell("copying the objects")
            tally = _copy_objects(shelf, bucketeer, draft, missing, tell)
            if inventory.is_dir():
                shutil.copytree(inventory, draft / "inventory", copy_function=shutil.copyfile)
            programs = _programs(Path("/opt/v2t/bin"))
            name = name_of(now)
            manifest = Manifest(name, version, programs, _files(draft), dict(tally.buckets), len(tally.without))
            _write(draft / MANIFEST, manifest.to_text())
        return Made(manifest, shelf.keep(keep))


def verify(shelf: Shelf, name: str, tell: Tell, *, quick: bool = False) -> tuple[Manifest, list[str]]:
    """Read a backup back.

    Args:
        shelf: where.
        name: of the backup, or `latest`.
        tell: told how it comes along.
        quick: only see that the contents of objects are there, without reading them.

    Returns:
        What is in it, and what is wrong with it, a line each.

    Raises:
        UsageError: there is no such backup.
        StorageDamaged: it does not say what is in it.
        ClusterBusy: another works with the backups.
    """
    with shelf.alone(), named_disk_errors(shelf.folder):
        backup = shelf.find(name)
        manifest = shelf.read_manifest(backup)
        tell(f"reading {manifest.name} back")
        problems = list(_file_problems(backup, manifest))
        if not any(OBJECTS in problem for problem in problems):
            problems += _object_problems(shelf, backup, tell, quick=quick)
        if not quick:
            mark = backup / VERIFIED
            mark.unlink(missing_ok=True) if problems else mark.touch(0o600)
        return manifest, problems


def check(shelf: Shelf, bucketeer: Bucketeer, name: str, tell: Tell) -> Manifest:
    """See before anything is stopped that a backup can be brought back.

    Raises:
        StorageDamaged: the backup is not whole.
        UsageError, ClusterBusy, ConnectionFailed, ConfigurationError: as `verify`, and a server does not let us in.
    """
    manifest, problems = verify(shelf, name, tell, quick=True)
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise StorageDamaged(f"{manifest.name} cannot be brought back: {problems[0]}{more}")
    databases.try_out()
    bucketeer.try_out()
    return manifest


def restore(shelf: Shelf, bucketeer: Bucketeer, name: str, tell: Tell) -> tuple[Manifest, int]:
    """Bring a backup back into a cluster whose Temporal and workers are stopped; again, it goes on.

    Objects come first: a database never names one that is not there.

    Returns:
        What is in it, and how many objects were missing in the cluster.

    Raises:
        StorageError, ConnectionFailed, ConfigurationError: it failed; each database is as before or as in the backup.
    """
    manifest = check(shelf, bucketeer, name, tell)
    with shelf.alone():
        backup = shelf.find(manifest.name)
        tell("bringing the objects back")
        sent = bucketeer.put_all(shelf.objects(backup), _Tally(tell).note)
        for database in databases.DATABASES:
            tell(f"bringing the database {database} back")
            databases.put_back(database, _dump_file(backup, database))
    return manifest, sent


def _dump(draft: Path) -> set[str]:
    """Dump all databases as they are at one moment; the keys of the transcripts that they name."""
    with databases.one_view() as view:
        for name, snapshot in view.snapshots.items():
            file = _dump_file(draft, name)
            file.parent.mkdir(0o700, exist_ok=True)
            databases.dump(name, snapshot, file)
        return view.transcripts


def _dump_file(backup: Path, database: str) -> Path:
    return backup / "databases" / f"{database}.dump"


def _copy_objects(shelf: Shelf, bucketeer: Bucketeer, draft: Path, missing: set[str], tell: Tell) -> _Tally:
    """Once, and again where objects went meanwhile: what they became, a transcript for chunks, is met then."""
    names = shelf.names()
    earlier = shelf.objects(shelf.folder / names[-1]) if names else iter(())
    before = draft / f"{OBJECTS}.before"
    for _ in range(_PASSES):
        with (draft / OBJECTS).open("w", encoding="utf-8") as file:
            tally = _Tally(tell, file, set(missing))
            gone = bucketeer.take_all(earlier, tally.note)
        if not gone:
            break
        (draft / OBJECTS).rename(before)
        earlier = read_objects(before)
    else:
        before.rename(draft / OBJECTS)
    before.unlink(missing_ok=True)
    return tally


def _files(draft: Path) -> Mapping[str, FileFacts]:
    paths = sorted(path for path in draft.rglob("*") if path.is_file())
    for path in paths:
        path.chmod(0o600)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    return {str(path.relative_to(draft)): FileFacts(path.stat().st_size, digest_of(path)) for path in paths}


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o600)


def _programs(links: Path) -> dict[str, str]:
    """Program → version in use, from the links /opt/v2t/bin/<binary> → /opt/v2t/<program>/<version>/<binary>."""
    found = (link.resolve() for link in sorted(links.glob("*")))
    return {path.parent.parent.name: path.parent.name for path in found}


def _file_problems(backup: Path, manifest: Manifest) -> Iterator[str]:
    for name, facts in manifest.files.items():
        path = backup / name
        if not path.is_file():
            yield f"{name} is gone"
        elif digest_of(path) != facts.sha256:
            yield f"{name} is damaged"
        elif path.suffix == ".dump" and (problem := databases.dump_problem(path)):
            yield f"{name} cannot be read by PostgreSQL: {problem}"


def _object_problems(shelf: Shelf, backup: Path, tell: Tell, *, quick: bool) -> list[str]:
    def problem(wanted: StoredObject) -> str:
        path = shelf.content(wanted.sha256)
        if quick and path.is_file() and path.stat().st_size == wanted.size_bytes:
            return ""
        return content_problem(path, wanted)

    tally = _Tally(tell)
    problems: list[str] = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for batch in in_batches(shelf.objects(backup)):
            problems += filter(None, threads.map(problem, batch))
            for each in batch:
                tally.note(each)
    return problems
