from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection

from v2t.db import connections
from v2t.db.connections import Database, parse_url
from v2t.domain.errors import ConfigurationError


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_spoken_to_through_psycopg(scheme: str) -> None:
    assert parse_url(f"{scheme}://v2t@db/v2t").drivername == "postgresql+psycopg"


def test_a_password_that_is_cut_by_its_own_characters_is_refused_unseen() -> None:
    with pytest.raises(ConfigurationError, match="%XX") as raised:
        parse_url("postgresql://v2t:hu@sh/h@db/v2t")
    assert "sh" not in raised.value.message.replace("should", "")


@pytest.mark.parametrize("url", ["", "no url", "nosuchdatabase://host/v2t", "postgresql://db:port/v2t"])
def test_a_wrong_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database URL is not valid"):
        Database(url)


def test_a_server_that_does_not_answer_is_given_up_soon_unless_the_url_says_otherwise() -> None:
    assert connections._options(parse_url("postgresql://v2t@db/v2t"))["connect_args"]["connect_timeout"] == "5"
    assert (
        "connect_timeout"
        not in connections._options(parse_url("postgresql://db/v2t?connect_timeout=2"))["connect_args"]
    )


def test_the_pool_holds_what_a_worker_needs() -> None:
    pool = Database("postgresql://v2t@db/v2t").engine.pool
    assert pool.size() == 5  # type: ignore[attr-defined]
    assert pool._max_overflow == 5  # type: ignore[attr-defined]


def test_closing_waits_for_the_operations_that_run(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    begun, may_end = threading.Event(), threading.Event()

    def operation(connection: Connection) -> object:
        begun.set()
        may_end.wait(10)
        return connection.exec_driver_sql("SELECT 1").scalar()

    answers: list[object] = []
    working = threading.Thread(target=lambda: answers.append(database.run(operation)))
    working.start()
    begun.wait(10)
    closing = threading.Thread(target=database.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    may_end.set()
    closing.join(10)
    working.join(10)
    assert answers == [1]


def test_an_operation_that_does_not_end_holds_nobody_up_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_CLOSING_SECONDS", 0.1)
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    database.run(lambda _connection: database.close())
    database.close()
