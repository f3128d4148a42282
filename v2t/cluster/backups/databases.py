"""PostgreSQL's part of a backup: one view of all databases, dumped, and put back.

`pg_dump`, `pg_restore` and `psql` reach a database by a service of the same name in the file `PGSERVICEFILE` names, so
that no secret stands in a command line or in the environment.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from v2t.cluster.backups.shelf import full
from v2t.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    RecordsUnreachable,
    StorageError,
    V2TError,
)

DATABASES = ("temporal", "temporal_visibility", "v2t")
"""In the order in which they are looked at: a job that Temporal still runs may be recorded as finished, never the other
way round."""
_SAYS_REFUSED = ("password authentication failed", "no pg_hba.conf entry", "no password supplied")
_SAYS_GONE = ("could not connect", "connection to server", "connection failed", "server closed the connection")
_NO_SPACE = "No space left on device"

_EMPTY = """\
SET lock_timeout = '60s';
BEGIN;
DROP SCHEMA IF EXISTS public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
"""What a dump is put into: a database as PostgreSQL makes it."""


@dataclass(frozen=True, slots=True)
class View:
    """All databases as they were at one moment."""

    snapshots: Mapping[str, str]
    """Database → name of its snapshot."""
    transcripts: set[str]
    """Keys of the transcripts of completed jobs."""


@contextmanager
def one_view() -> Iterator[View]:
    """Hold all databases as they are now, within milliseconds of each other, for as long as the body runs.

    Raises:
        RecordsUnreachable, CredentialsRefused, StorageError: a database cannot be looked at.
    """
    import psycopg

    with ExitStack() as stack:
        connections: dict[str, psycopg.Connection[Any]] = {}
        snapshots: dict[str, str] = {}
        try:
            for name in DATABASES:  # before the first snapshot, as connecting takes much longer
                connection = stack.enter_context(psycopg.connect(f"service={name}"))
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                connections[name] = connection
            for name, connection in connections.items():
                snapshots[name] = str(connection.execute("SELECT pg_export_snapshot()").fetchall()[0][0])
            keys = connections["v2t"].execute(
                "SELECT transcript_key FROM transcriptions WHERE state = 'completed' AND transcript_key <> ''"
            )
            view = View(snapshots, {row[0] for row in keys})
        except psycopg.Error as error:
            raise named(str(error)) from error
        yield view


def dump(name: str, snapshot: str, file: Path) -> None:
    """Write one database, as its snapshot has it, into the `databases` of a backup.

    Raises:
        StorageFull, RecordsUnreachable, CredentialsRefused, StorageError: it could not be written or read.
    """
    command = _program("pg_dump", "--format=custom", f"--snapshot={snapshot}", "--no-password", f"--file={file}")
    _run([*command, f"--dbname=service={name}"], file.parents[2])


def dump_problem(file: Path) -> str:
    """Why PostgreSQL cannot read a dump; empty: it can."""
    try:
        _run(_program("pg_restore", "--list", str(file)), file.parent)
    except StorageError as error:
        return error.message
    return ""


def put_back(name: str, file: Path) -> None:
    """Make a database what its dump says, or leave it as it is.

    Raises:
        RecordsUnreachable, CredentialsRefused, StorageError: it could not be done.
    """
    read = _program("pg_restore", "--no-owner", "--exit-on-error", "--file=-", str(file))
    write = _program("psql", "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as read_said:
        into = subprocess.Popen(
            [*write, f"--dbname=service={name}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        assert into.stdin is not None
        try:
            out_of = subprocess.Popen(read, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=read_said)
            whole = _pour(out_of, into.stdin)
        finally:
            into.wait()
        for code, words in ((into.returncode, said), (0 if whole else 1, read_said)):
            if code:
                words.seek(0)
                raise named(words.read())


def try_out() -> None:
    """See that every database lets us in. Raises RecordsUnreachable, CredentialsRefused."""
    import psycopg

    for name in DATABASES:
        try:
            psycopg.connect(f"service={name}").close()
        except psycopg.Error as error:
            raise named(str(error)) from error


def named(words: str) -> V2TError:
    """What PostgreSQL's programs say, as an error of v2t."""
    lines = [" ".join(line.split()) for line in words.splitlines() if line.strip()]
    first = next((line for line in lines if "error" in line.lower() or "fatal" in line.lower()), "".join(lines[:1]))
    if any(sign in words for sign in _SAYS_REFUSED):
        return CredentialsRefused(f"PostgreSQL refuses the backup's account; `v2t cluster deploy` renews it: {first}")
    if any(sign in words for sign in _SAYS_GONE):
        return RecordsUnreachable(f"PostgreSQL does not answer; `v2t health` shows what does: {first}")
    return StorageError(f"PostgreSQL: {first or 'a program failed without a word'}")


def _pour(out_of: subprocess.Popen[bytes], into: IO[bytes]) -> bool:
    """Let psql have all that pg_restore writes, and commit only where that was all."""
    assert out_of.stdout is not None
    try:
        with out_of.stdout, into:
            into.write(_EMPTY.encode())
            shutil.copyfileobj(out_of.stdout, into, 1 << 20)
            if out_of.wait() == 0:
                into.write(b"\nCOMMIT;\n")
    except BrokenPipeError:  # psql has given up, and says why
        out_of.kill()
    return out_of.wait() == 0


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise full(folder) if _NO_SPACE in done.stderr else named(done.stderr)


def _program(name: str, *arguments: str) -> list[str]:
    found = shutil.which(name)
    if not found:
        raise ConfigurationError(f"{name} is not installed on this host; backups are made where PostgreSQL is")
    return [found, *arguments]
