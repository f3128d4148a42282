"""What only the real MinIO shows: uploads that go on, lost nodes, versions, set-up, accounts."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from minio import Minio
from minio.commonconfig import SnowballObject
from support.buckets import PART_BYTES, administrator, new_buckets
from support.processes import TESTS
from support.servers import Servers, running_servers

from v2t.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    InputUnreadable,
    ObjectMissing,
    StorageDamaged,
    StorageFull,
    StoreUnreachable,
    V2TError,
)
from v2t.storage import minio as minio_store
from v2t.storage import multipart
from v2t.storage.minio import MinioObjectStore
from v2t.storage.minio_accounts import Kind, NewAccount, prepare_accounts
from v2t.storage.minio_client import Buckets, StoreAccount, open_admin, open_client
from v2t.storage.setup import prepare_storage

pytestmark = pytest.mark.servers

PARTS = 6
RECORDING = os.urandom((PARTS - 1) * PART_BYTES + 1000)
WRONG = "wrong-secret"
KEY = f"audio/{hashlib.sha256(RECORDING).hexdigest()}"


@pytest.fixture
def buckets(servers: Servers) -> Buckets:
    return new_buckets(servers)


@pytest.fixture
def store(servers: Servers, buckets: Buckets, tmp_path: Path) -> MinioObjectStore:
    return store_of(administrator(servers), buckets, tmp_path)


@pytest.fixture
def raw(servers: Servers) -> Minio:
    """Any other S3 client."""
    return open_client(administrator(servers))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording.wav"
    path.write_bytes(RECORDING)
    return path


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Servers]:
    with running_servers() as servers:
        yield servers


def store_of(account: StoreAccount, buckets: Buckets, folder: Path) -> MinioObjectStore:
    return MinioObjectStore(account, buckets, folder / "scratch", PART_BYTES)


def upload_and_be_killed(account: StoreAccount, buckets: Buckets, key: str, source: Path, after_parts: int) -> None:
    script = f"""
import json, os, sys
from pathlib import Path
from v2t.storage.minio import MinioObjectStore
from v2t.storage.minio_client import Buckets, StoreAccount
given = json.load(sys.stdin)
account = StoreAccount(given["endpoint"], given["access_key"], given["secret_key"], secure=False)
def die(done):
    if done >= {after_parts * PART_BYTES}:
        os.kill(os.getpid(), 9)
store = MinioObjectStore(account, Buckets(*given["buckets"]), Path(given["source"]).parent, {PART_BYTES})
store.put_file(given["key"], Path(given["source"]), on_bytes=die)
"""
    given = {
        "endpoint": account.endpoint,
        "access_key": account.access_key,
        "secret_key": account.secret_key,
        "buckets": [buckets.audio, buckets.transcripts, buckets.models, buckets.archive],
        "key": key,
        "source": str(source),
    }
    ended = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(given).encode(),
        check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )
    assert ended.returncode == -9


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the parts that are sent from here."""
    sizes: list[int] = []
    send = multipart._send_part

    def counting(upload: multipart.Upload, upload_id: str, number: int, data: bytes) -> str:
        sizes.append(len(data))
        return send(upload, upload_id, number, data)

    monkeypatch.setattr(multipart, "_send_part", counting)
    return sizes


def test_a_killed_upload_is_gone_on_with(
    servers: Servers, buckets: Buckets, store: MinioObjectStore, recording: Path, sent: list[int]
) -> None:
    upload_and_be_killed(administrator(servers), buckets, KEY, recording, after_parts=3)
    assert not store.exists(KEY)
    told: list[int] = []
    store.put_file(KEY, recording, on_bytes=told.append)
    assert len(sent) <= PARTS - 3
    assert (told[0], told[-1]) == (PART_BYTES, len(RECORDING))
    assert store.get_bytes(KEY) == RECORDING


def test_of_an_upload_that_has_its_first_and_last_part_the_others_are_sent(
    store: MinioObjectStore, raw: Minio, buckets: Buckets, recording: Path, sent: list[int]
) -> None:
    upload = raw._create_multipart_upload(buckets.audio, KEY, {multipart.SHA256_HEADER: KEY.removeprefix("audio/")})
    raw._upload_part(buckets.audio, KEY, RECORDING[:PART_BYTES], None, upload, 1)
    raw._upload_part(buckets.audio, KEY, RECORDING[(PARTS - 1) * PART_BYTES :], None, upload, PARTS)
    store.put_file(KEY, recording)
    assert sent == [PART_BYTES] * (PARTS - 2)
    assert store.get_bytes(KEY) == RECORDING


def test_another_content_does_not_go_on_with_a_killed_upload(
    servers: Servers, buckets: Buckets, store: MinioObjectStore, recording: Path, tmp_path: Path
) -> None:
    key = "models/base/model.bin"
    upload_and_be_killed(administrator(servers), buckets, key, recording, after_parts=3)
    for content in (RECORDING[:-7] + b"another", b"another" + RECORDING[7:]):  # the first part is the same, or not
        other = tmp_path / "other.bin"
        other.write_bytes(content)
        store.put_file(key, other)
        assert store.get_bytes(key) == content


def test_two_uploads_of_one_recording_at_once_both_end_well(store: MinioObjectStore, recording: Path) -> None:
    failures: list[Exception] = []

    def put() -> None:
        try:
            store.put_file(KEY, recording)
        except V2TError as error:
            failures.append(error)

    threads = [threading.Thread(target=put) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.get_bytes(KEY) == RECORDING


def test_a_large_file_that_is_not_what_its_key_says_is_not_stored(
    store: MinioObjectStore, raw: Minio, buckets: Buckets, recording: Path
) -> None:
    wrong = f"audio/{'0' * 64}"
    with pytest.raises(InputUnreadable, match=r"recording\.wav was changed"):
        store.put_file(wrong, recording)
    assert not store.exists(wrong)
    assert raw._list_multipart_uploads(buckets.audio, prefix=wrong).uploads == []


def test_a_damaged_object_is_found(store: MinioObjectStore, raw: Minio, buckets: Buckets) -> None:
    raw.put_object(buckets.audio, KEY, io.BytesIO(b"speech"), 6)
    raw.put_object(buckets.transcripts, "t-1/a", io.BytesIO(b"text"), 4, metadata={"sha256": "0" * 64})
    for key in (KEY, "t-1/a"):
        with pytest.raises(StorageDamaged, match=key):
            store.get_bytes(key)
        with pytest.raises(StorageDamaged, match=key), store.open_file(key):
            pytest.fail("damaged data was given out")


def test_what_other_clients_name_as_they_like_is_listed_and_read(
    store: MinioObjectStore, raw: Minio, buckets: Buckets
) -> None:
    names = ["Größe & mehr.mp3", "a b+c%20d.wav", "日本語.m4a"]
    for name in names:
        raw.put_object(buckets.audio, f"incoming/anna/{name}", io.BytesIO(b"speech"), 6)
    raw.put_object(buckets.audio, "incoming/anna/folder/", io.BytesIO(b""), 0)
    assert store.list_keys("incoming/") == sorted(f"incoming/anna/{name}" for name in names)
    for name in names:
        assert store.get_bytes(f"incoming/anna/{name}") == b"speech"
        store.copy(f"incoming/anna/{name}", "audio/abc", etag=store.facts(f"incoming/anna/{name}").etag)
        store.delete(f"incoming/anna/{name}", etag=store.facts(f"incoming/anna/{name}").etag)
    store.delete_prefix("incoming/anna/")
    assert list(raw.list_objects(buckets.audio, "incoming/", recursive=True)) == []


def test_a_replaced_upload_that_is_deleted_does_not_bring_back_what_it_replaced(
    store: MinioObjectStore, raw: Minio, buckets: Buckets
) -> None:
    key = "incoming/anna/a.wav"
    store.put_bytes(key, b"one")
    store.put_bytes(key, b"two")
    store.put_bytes(f"{key}.txt", b"neighbour")
    store.delete(key, etag=store.facts(key).etag)
    assert store.list_keys("incoming/") == [f"{key}.txt"]
    versions = raw.list_objects(buckets.audio, key, include_version=True)
    assert [entry.object_name for entry in versions] == [f"{key}.txt"]


def test_an_upload_that_replaces_one_while_it_is_deleted_stays(
    store: MinioObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "incoming/anna/a.wav"
    store.put_bytes(key, b"one")
    etag = store.facts(key).etag
    delete = MinioObjectStore._delete_versions

    def replaced_just_before(self: MinioObjectStore, bucket: str, name: str, version: str | None) -> None:
        self.put_bytes(key, b"two")
        delete(self, bucket, name, version)

    monkeypatch.setattr(MinioObjectStore, "_delete_versions", replaced_just_before)
    store.delete(key, etag=etag)
    assert store.get_bytes(key) == b"two"


def test_a_large_object_is_copied_in_parts_with_its_digest(
    store: MinioObjectStore, raw: Minio, buckets: Buckets, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minio_store, "_COPY_PART_BYTES", 2 * PART_BYTES)
    store.put_file("models/base/model.bin", recording)
    store.copy("models/base/model.bin", "t-1/copy", etag=store.facts("models/base/model.bin").etag)
    assert store.get_bytes("t-1/copy") == RECORDING
    metadata = raw.stat_object(buckets.transcripts, "t-1/copy").metadata
    assert metadata and metadata["x-amz-meta-sha256"] == hashlib.sha256(RECORDING).hexdigest()
    with pytest.raises(ObjectMissing):
        store.copy("models/base/model.bin", "t-1/other", etag="other")


def test_many_objects_are_listed_and_deleted(store: MinioObjectStore, raw: Minio, buckets: Buckets) -> None:
    many = [SnowballObject(f"t-1/chunks/{number:05}", data=io.BytesIO(b"."), length=1) for number in range(1001)]
    raw.upload_snowball_objects(buckets.transcripts, many)
    assert store.list_keys("t-1/") == [entry.object_name for entry in many]
    store.delete_prefix("t-1/")
    assert store.list_keys("t-1/") == []


def test_a_wrong_secret_is_said_to_be_refused(servers: Servers, buckets: Buckets, tmp_path: Path) -> None:
    store = store_of(replace(administrator(servers), secret_key=WRONG), buckets, tmp_path)
    for call in (store.exists, store.get_bytes, store.list_keys, store.facts):
        with pytest.raises(CredentialsRefused, match=r"storage\.secret_key") as raised:
            call("audio/abc")
        assert WRONG not in raised.value.message


def test_a_dead_endpoint_is_tried_for_the_time_of_a_restart(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        account = StoreAccount(f"127.0.0.1:{held.getsockname()[1]}", "worker", WRONG, secure=False)
        began = time.monotonic()
        with pytest.raises(StoreUnreachable, match=r"storage\.endpoint"):
            store_of(account, Buckets(), tmp_path).get_bytes("t-1/a")
    assert 5 < time.monotonic() - began < 15


def test_a_missing_bucket_is_a_matter_of_settings(servers: Servers, tmp_path: Path) -> None:
    store = store_of(administrator(servers), Buckets("nobody-made-it", "nor-this"), tmp_path)
    for call in (store.exists, store.get_bytes, store.list_keys):
        with pytest.raises(ConfigurationError, match="bucket"):
            call("audio/abc")


def test_a_full_store_is_said_to_be_full(
    servers: Servers, store: MinioObjectStore, buckets: Buckets, recording: Path
) -> None:
    open_admin(administrator(servers)).bucket_quota_set(buckets.models, 1000)
    with pytest.raises(StorageFull):
        store.put_bytes("models/base/model.bin", bytes(2000))
    with pytest.raises(StorageFull):
        store.put_file("models/base/model.bin", recording)


def test_setting_up_twice_changes_nothing_the_second_time(servers: Servers) -> None:
    name = uuid.uuid4().hex[:12]
    buckets = Buckets(*(f"{name}-{purpose}" for purpose in ("audio", "transcripts", "models", "archive")))
    first = prepare_storage(administrator(servers), buckets)
    assert f"made bucket {name}-audio" in first
    assert f"turned on encryption of {name}-archive" in first
    assert prepare_storage(administrator(servers), buckets) == ()


def test_setting_up_closes_what_is_public_and_mends_what_was_changed(
    servers: Servers, raw: Minio, buckets: Buckets
) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{buckets.audio}/*"],
    }
    raw.set_bucket_policy(buckets.audio, json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    raw.delete_bucket_encryption(buckets.models)
    raw.delete_bucket_lifecycle(buckets.audio)
    assert prepare_storage(administrator(servers), buckets) == (
        f"removed the public policy of {buckets.audio}",
        f"turned on encryption of {buckets.models}",
        f"set older versions in {buckets.audio} to go after 1 day",
    )


def test_an_unknown_target_of_notifications_is_named(servers: Servers, buckets: Buckets) -> None:
    target = "arn:minio:sqs::nobody:webhook"
    with pytest.raises(ConfigurationError, match=target):
        prepare_storage(administrator(servers), buckets, notify_target=target)


@pytest.fixture(scope="module")
def accounts(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, MinioObjectStore]:
    """A store for each kind of account, on the same buckets, in which there is one object of each kind."""
    buckets = new_buckets(servers)
    folder = tmp_path_factory.mktemp("accounts")
    stores = {"administrator": store_of(administrator(servers), buckets, folder)}
    new: list[NewAccount] = []
    kinds: tuple[Kind, ...] = ("worker", "client", "uploader", "health")
    for kind in kinds:
        new.append(NewAccount(f"{kind}-{uuid.uuid4().hex[:8]}", kind, f"secret-{uuid.uuid4().hex[:12]}"))
        account = replace(administrator(servers), access_key=new[-1].name, secret_key=new[-1].secret)
        stores[kind] = store_of(account, buckets, folder)
    made = prepare_accounts(administrator(servers), buckets, new)
    assert [line for line in made if line.startswith("made account")] == [f"made account {each.name}" for each in new]
    assert prepare_accounts(administrator(servers), buckets, new) == ()
    for key in ("audio/abc", "incoming/anna/a.wav", "t-1/transcript.json", "models/m/a", "archive/t-1/a", "b-1/plan"):
        stores["administrator"].put_bytes(key, b"speech")
    return stores


def assert_refused(*calls: Callable[[], object]) -> None:
    for call in calls:
        with pytest.raises(CredentialsRefused):
            call()


def test_a_worker_does_its_work_and_leaves_models_alone(accounts: dict[str, MinioObjectStore], recording: Path) -> None:
    worker = accounts["worker"]
    assert worker.get_bytes("models/m/a") == b"speech"
    worker.copy("incoming/anna/a.wav", "audio/new", etag=worker.facts("incoming/anna/a.wav").etag)
    worker.put_bytes("incoming/anna/b.wav", b"other")
    worker.delete("incoming/anna/b.wav", etag=worker.facts("incoming/anna/b.wav").etag)
    worker.put_bytes("archive/t-2/a", b"text")
    worker.put_file(KEY, recording)
    worker.delete_prefix("archive/")
    assert worker.list_keys("audio/") == sorted(["audio/abc", "audio/new", KEY])
    assert_refused(lambda: worker.put_bytes("models/m/a", b""), lambda: worker.delete("models/m/a"))


def test_the_accounts_of_another_cluster_on_the_same_store_take_no_rights_away(
    servers: Servers, accounts: dict[str, MinioObjectStore]
) -> None:
    other = NewAccount(f"worker-{uuid.uuid4().hex[:8]}", "worker", f"secret-{uuid.uuid4().hex[:12]}")
    prepare_accounts(administrator(servers), new_buckets(servers), [other])
    assert accounts["worker"].get_bytes("audio/abc") == b"speech"


def test_a_client_submits_and_reads_results(accounts: dict[str, MinioObjectStore], tmp_path: Path) -> None:
    client = accounts["client"]
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(2 * PART_BYTES))
    key = f"audio/{hashlib.sha256(large.read_bytes()).hexdigest()}"
    assert not client.exists(key)
    client.put_file(key, large)
    client.put_bytes("b-2/plan", b"plan")
    assert client.get_bytes("t-1/transcript.json") == b"speech"
    assert client.list_keys("incoming/")
    assert_refused(
        lambda: client.put_bytes("t-1/transcript.json", b"forged"),
        lambda: client.put_bytes("incoming/anna/c.wav", b""),
        lambda: client.delete("audio/abc"),
        lambda: client.delete("archive/t-1/a"),
    )


def test_an_uploader_writes_below_its_own_name_and_reads_nothing(
    accounts: dict[str, MinioObjectStore], recording: Path
) -> None:
    uploader = accounts["uploader"]
    own = f"incoming/{uploader._account.access_key}"
    uploader.put_bytes(f"{own}/a.wav", b"speech")
    assert accounts["worker"].get_bytes(f"{own}/a.wav") == b"speech"
    assert_refused(
        lambda: uploader.get_bytes(f"{own}/a.wav"),
        lambda: uploader.put_bytes("incoming/anna/a.wav", b"forged"),
        lambda: uploader.put_bytes(f"{own}-too/a.wav", b"forged"),
        lambda: uploader.put_bytes("audio/abc", b"forged"),
        lambda: uploader.list_keys("incoming/"),
        lambda: uploader.delete(f"{own}/a.wav"),
        lambda: uploader.get_bytes("t-1/transcript.json"),
    )


def test_the_account_of_health_sees_buckets_and_no_object(accounts: dict[str, MinioObjectStore]) -> None:
    health = accounts["health"]
    assert health._client.bucket_exists(health._buckets.audio)
    assert_refused(lambda: health.get_bytes("audio/abc"), lambda: health.list_keys("audio/"))


def test_an_account_that_is_no_administrator_cannot_make_accounts(
    servers: Servers, accounts: dict[str, MinioObjectStore]
) -> None:
    worker = accounts["worker"]
    with pytest.raises(CredentialsRefused, match="administrator"):
        prepare_accounts(worker._account, worker._buckets, [])


def test_a_secret_that_is_too_short_is_refused_in_words(servers: Servers, buckets: Buckets) -> None:
    with pytest.raises(ConfigurationError, match="secret key is invalid"):
        prepare_accounts(administrator(servers), buckets, [NewAccount("anna", "uploader", "short")])


def test_losing_a_node_while_a_file_is_stored_harms_nothing(
    own_servers: Servers, recording: Path, tmp_path: Path
) -> None:
    own_servers.heal()
    store = store_of(administrator(own_servers), new_buckets(own_servers), tmp_path)
    killed: list[int] = []

    def kill_once(done: int) -> None:
        if not killed:
            killed.append(done)
            own_servers.minio[1].kill()

    store.put_file(KEY, recording, on_bytes=kill_once)
    assert killed
    assert store.get_bytes(KEY) == RECORDING


def test_losing_a_node_while_a_file_is_read_harms_nothing(
    own_servers: Servers, recording: Path, tmp_path: Path
) -> None:
    own_servers.heal()
    store = store_of(administrator(own_servers), new_buckets(own_servers), tmp_path)
    store.put_file(KEY, recording)
    data = bytearray()

    def write(block: bytes) -> None:
        if not data:
            own_servers.minio[2].kill()
        data.extend(block)

    store._fetch(KEY, write)
    assert bytes(data) == RECORDING


def test_a_restart_of_the_node_one_talks_to_is_waited_for(own_servers: Servers, tmp_path: Path) -> None:
    own_servers.heal()
    store = store_of(administrator(own_servers), new_buckets(own_servers), tmp_path)
    store.put_bytes("t-1/a", b"text")
    own_servers.minio[0].kill()
    own_servers.minio[0].launch()  # and does not serve yet
    began = time.monotonic()
    assert store.get_bytes("t-1/a") == b"text"
    assert time.monotonic() - began < 30  # it asks for a minute
    store.put_bytes("t-1/b", b"text")
