"""PostgreSQL: a data folder of its own, passwords, and the databases of Temporal and v2t."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

from support.servers.layout import HOST, Layout, write_secret
from support.servers.programs import Programs

_CONFIGURATION = f"""
listen_addresses = '{HOST}'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
password_encryption = 'scram-sha-256'
# Data need only survive the death of processes here, not of the machine.
fsync = off
full_page_writes = off
"""

_ROLES = (("temporal", ""), ("v2t", "CREATEDB"))
_DATABASES = (("temporal", "temporal"), ("temporal_visibility", "temporal"), ("v2t", "v2t"))


def initdb_command(layout: Layout, programs: Programs) -> list[str]:
    return [
        *_as_unprivileged(),
        str(programs.postgresql / "initdb"),
        f"--pgdata={_data(layout)}",
        f"--pwfile={_password_file(layout)}",
        "--username=postgres",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]


def server_command(layout: Layout, programs: Programs) -> list[str]:
    return [
        *_as_unprivileged(),
        str(programs.postgresql / "postgres"),
        "-D",
        str(_data(layout)),
        "-p",
        str(layout.postgresql_port),
    ]


def is_initialised(layout: Layout) -> bool:
    return (_data(layout) / "v2t.ready").exists()


def prepare(layout: Layout) -> None:
    """Make the empty data folder, and the file that initdb reads the password from."""
    data = _data(layout)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    write_secret(_password_file(layout), layout.administrator_password)
    if account := _unprivileged_account():
        layout.folder.chmod(0o711)
        for path in (data, _password_file(layout)):
            os.chown(path, account.pw_uid, account.pw_gid)


def configure(layout: Layout) -> None:
    """Write the settings into the folder that initdb has filled."""
    _password_file(layout).unlink()
    with (_data(layout) / "postgresql.conf").open("a") as configuration:
        configuration.write(_CONFIGURATION)


def is_ready(layout: Layout) -> bool:
    import psycopg

    try:
        psycopg.connect(layout.administrator_url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def set_up(layout: Layout) -> None:
    """Make the roles and their databases."""
    import psycopg
    from psycopg import sql

    passwords = {"temporal": layout.temporal_password, "v2t": layout.database_password}
    with psycopg.connect(layout.administrator_url, autocommit=True) as connection:
        for role, rights in _ROLES:
            make_role = sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}")
            connection.execute(make_role.format(sql.Identifier(role), sql.SQL(rights), sql.Literal(passwords[role])))
        for database, owner in _DATABASES:
            make_database = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(make_database.format(sql.Identifier(database), sql.Identifier(owner)))


def mark_initialised(layout: Layout) -> None:
    (_data(layout) / "v2t.ready").touch()


def _data(layout: Layout) -> Path:
    return layout.folder / "postgresql"


def _password_file(layout: Layout) -> Path:
    return layout.folder / "postgresql.password"


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as when root starts it, which it refuses to run as."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def _as_unprivileged() -> Sequence[str]:
    account = _unprivileged_account()
    if account is None:
        return ()
    # A change of user takes away the death signal that the keeper has set, so it is set again after it.
    ids = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    return ("setpriv", *ids, "--pdeathsig=KILL", "--")
