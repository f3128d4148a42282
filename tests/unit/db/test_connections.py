from __future__ import annotations

import pytest

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
