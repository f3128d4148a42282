"""The servers that the tests start: they are the real ones, and parts of them can be lost."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import redis
from minio import Minio
from minio.error import S3Error
from support.processes import TESTS, is_alive, processes_about, until, wait_for
from support.servers import Servers, running_servers
from support.servers.layout import NAMESPACE
from temporalio.client import Client

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    with running_servers() as servers:
        yield servers


async def test_temporal_has_the_namespace_and_its_search_attributes(servers: Servers) -> None:
    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest

    client = await Client.connect(servers.layout.temporal_address, namespace=NAMESPACE)

    found = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=NAMESPACE))
    assert {name for name in found.custom_attributes if name.startswith("V2t")} == {
        "V2tUser",
        "V2tProvider",
        "V2tLanguage",
        "V2tStatus",
        "V2tBatch",
        "V2tAudioSeconds",
    }


def test_postgresql_takes_passwords_only(servers: Servers) -> None:
    with psycopg.connect(servers.layout.database_url(driver="")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("v2t",)
    wrong = servers.layout.database_url(driver="").replace(servers.layout.database_password, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_a_new_database_is_empty_and_nobody_elses(servers: Servers) -> None:
    first, second = servers.new_database(), servers.new_database()

    assert first != second
    with psycopg.connect(first.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (0,)


def test_redis_takes_passwords_only(servers: Servers) -> None:
    with redis.Redis.from_url(servers.layout.redis_url) as client:
        assert client.ping()
    with (
        redis.Redis(port=servers.layout.redis_port) as nobody,
        pytest.raises(redis.AuthenticationError),
    ):
        nobody.ping()


def test_objects_are_encrypted_when_asked_to_be(servers: Servers) -> None:
    from minio.sse import SseS3

    store, bucket = _store(servers, 0), _new_bucket(servers)

    written = store.put_object(bucket, "a", io.BytesIO(b"sound"), 5, sse=SseS3())

    assert written.object_name == "a"
    headers = store.stat_object(bucket, "a").metadata
    assert headers and headers["x-amz-server-side-encryption"] == "AES256"


def test_without_one_node_objects_are_written_and_read(own_servers: Servers) -> None:
    own_servers.heal()
    bucket = _new_bucket(own_servers)

    own_servers.minio[1].kill()

    assert own_servers.minio[1].pid == 0
    _store(own_servers, 0).put_object(bucket, "a", io.BytesIO(b"sound"), 5)
    for node in (0, 2):
        assert _read(own_servers, node, bucket, "a") == b"sound"


def test_a_node_that_was_lost_finds_what_was_written_without_it(own_servers: Servers) -> None:
    own_servers.heal()
    bucket = _new_bucket(own_servers)
    own_servers.minio[1].kill()
    _store(own_servers, 0).put_object(bucket, "a", io.BytesIO(b"sound"), 5)

    own_servers.minio[1].start()

    assert _read(own_servers, 1, bucket, "a") == b"sound"


def _read(servers: Servers, node: int, bucket: str, name: str) -> bytes:
    """The object, as soon as the node finds it.

    A node that has just started looks for the others' drives every 15 seconds; while it has too few of them it says
    that there is no such object.
    """
    wait_for(lambda: _has(servers, node, bucket, name), f"node {node} finds the object", 40)
    with _store(servers, node).get_object(bucket, name) as answer:
        return answer.read()


def _has(servers: Servers, node: int, bucket: str, name: str) -> bool:
    try:
        _store(servers, node).stat_object(bucket, name)
    except S3Error as error:
        if error.code != "NoSuchKey":
            raise
        return False
    return True


async def test_temporal_remembers_its_workflows_when_it_is_killed(own_servers: Servers) -> None:
    own_servers.heal()
    client = await Client.connect(own_servers.layout.temporal_address, namespace=NAMESPACE)
    job = f"job-{uuid.uuid4()}"
    await client.start_workflow("Nothing", id=job, task_queue="nobody", execution_timeout=timedelta(hours=1))
    before = own_servers.temporal.pid

    own_servers.temporal.kill()
    own_servers.temporal.start()

    assert own_servers.temporal.pid != before
    assert (await client.get_workflow_handle(job).describe()).id == job


def test_postgresql_keeps_what_was_committed_when_it_is_killed(own_servers: Servers) -> None:
    own_servers.heal()
    url = own_servers.new_database().replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    own_servers.postgresql.kill()
    own_servers.postgresql.start()

    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


async def test_nothing_outlives_an_owner_that_is_killed() -> None:
    script = (
        "import sys, time; from support.servers import running_servers\n"
        "with running_servers() as servers:\n"
        "    print(servers.layout.folder, flush=True)\n"
        "    time.sleep(600)\n"
    )
    owner = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)}
    )
    assert owner.stdout
    with owner.stdout:
        folder = Path(owner.stdout.readline().strip())
    assert len(processes_about(str(folder))) >= 6

    owner.kill()
    owner.wait()

    assert not is_alive(owner.pid)
    await until(lambda: not processes_about(str(folder)) and not folder.exists(), "everything is gone", 30)


def _store(servers: Servers, node: int) -> Minio:
    layout = servers.layout
    return Minio(layout.minio_endpoints[node], layout.access_key, layout.secret_key, secure=False)


def _new_bucket(servers: Servers) -> str:
    name = f"test-{uuid.uuid4()}"
    _store(servers, 0).make_bucket(name)
    return name
