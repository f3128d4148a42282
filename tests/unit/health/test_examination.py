from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2t.config import Settings
from v2t.health import HealthReport, Part, Status, examine
from v2t.health.examination import in_thread
from v2t.health.machine_parts import Embedded


@pytest.fixture
def hole() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def cluster_at(address: str) -> Settings:
    return Settings.model_validate(
        {
            "temporal": {"address": address},
            "storage": {"endpoint": address, "secure": False, "access_key": "ada", "secret_key": "hush-hush"},
            "database": {"url": f"postgresql+psycopg://ada:hu%40sh@{address}/v2t"},
            "cache": {"redis_url": f"redis://:hush-hush@{address}/0"},
        }
    )


def by_name(report: HealthReport) -> dict[str, Part]:
    return {part.name: part for part in report.parts}


async def test_nothing_answers_at_closed_ports() -> None:
    report = await examine(cluster_at("127.0.0.1:1"), limit_seconds=8)
    found = by_name(report)
    assert {name for name, part in found.items() if part.status == Status.FAILED} == {
        "temporal",
        "object store",
        "database",
    }
    assert found["redis"].status == Status.DEGRADED
    assert all(part.next_step for part in report.parts)
    assert report.error
    assert report.error.exit_code == 5
    assert "hush" not in str(report.as_data())


async def test_what_never_answers_is_given_up_in_time(hole: str) -> None:
    started = time.monotonic()
    report = await examine(cluster_at(hole), limit_seconds=1.5)
    assert time.monotonic() - started < 5
    assert {part.status for part in report.parts} == {Status.FAILED, Status.DEGRADED}


async def test_a_store_without_an_address_is_a_matter_of_settings() -> None:
    report = await examine(Settings.model_validate({"temporal": {"address": "127.0.0.1:1"}}), limit_seconds=5)
    store = by_name(report)["object store"]
    assert (store.status, store.code) == (Status.FAILED, "ConfigurationError")
    assert "storage.endpoint" in store.summary


async def test_a_secret_that_cannot_be_read_is_told_by_its_place(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "temporal": {"address": "127.0.0.1:1"},
            "database": {"url": f"file:{tmp_path}/no"},
            "storage": {"endpoint": "127.0.0.1:1"},
        }
    )
    database = by_name(await examine(settings, limit_seconds=5))["database"]
    assert (database.status, database.code) == (Status.FAILED, "ConfigurationError")
    assert f"{tmp_path}/no" in database.summary


def machine(folder: Path) -> Settings:
    return Settings.model_validate({"standalone": {"folder": str(folder)}, "models": {"folder": str(folder / "m")}})


async def test_a_fresh_machine_can_transcribe(tmp_path: Path) -> None:
    report = await examine(machine(tmp_path / "data"), limit_seconds=8, embedded=Embedded(has_program=True))
    assert report.can_transcribe, report.parts
    assert not (tmp_path / "data").exists()  # looking changes nothing
    models = by_name(report)["models"]
    assert (models.status, models.required) == (Status.DEGRADED, False)
    assert "v2t models pull base" in models.next_step


async def test_without_a_server_program_it_cannot(tmp_path: Path) -> None:
    report = await examine(machine(tmp_path), limit_seconds=8, embedded=Embedded(has_program=False))
    assert report.error
    assert report.error.exit_code == 3
    assert "v2t[local]" in by_name(report)["server"].next_step


async def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database" * 100)
    report = await examine(machine(tmp_path), limit_seconds=8, embedded=Embedded(has_program=True))
    records = by_name(report)["records"]
    assert (records.status, records.code) == (Status.FAILED, "StorageDamaged")
    assert "move" in records.next_step


async def test_a_thread_that_hangs_holds_nobody_up() -> None:
    assert await in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_a_client_without_the_workers_libraries_says_what_it_cannot_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    part = by_name(await examine(cluster_at("127.0.0.1:1"), limit_seconds=8))["redis"]
    assert (part.status, part.summary) == (Status.DEGRADED, "not looked at: redis is not installed here")
