from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio.error import S3Error
from support.file_server import FileServer, serve_files
from urllib3.response import HTTPResponse

from v2t.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    InputUnreadable,
    ObjectMissing,
    StorageDamaged,
    StorageError,
    StorageFull,
    StoreUnreachable,
    UsageError,
    V2TError,
)
from v2t.storage import minio_client
from v2t.storage.minio import MinioObjectStore
from v2t.storage.minio_client import Buckets, StoreAccount, named_errors

KEY = "t-1/transcript.json"
CONTENT = os.urandom(3_000_000)


@pytest.fixture
def files() -> Iterator[FileServer]:
    with serve_files() as server:
        server.content[f"/v2t-transcripts/{KEY}"] = CONTENT
        yield server


@pytest.fixture
def store(files: FileServer, tmp_path: Path) -> MinioObjectStore:
    return store_at(files.address.removeprefix("http://"), tmp_path)


def store_at(endpoint: str, folder: Path, **more: Any) -> MinioObjectStore:
    account = StoreAccount(endpoint, "worker", "not-to-be-shown", **{"secure": False, **more})
    return MinioObjectStore(account, Buckets(), folder / "scratch")


def test_a_download_that_breaks_off_goes_on_from_there(files: FileServer, store: MinioObjectStore) -> None:
    files.break_off_after = [1_200_000, 700_000]
    assert store.get_bytes(KEY) == CONTENT
    ranges = [seen.headers.get("Range", "") for seen in files.seen]
    assert ranges[0] == ""
    assert ranges[2] > ranges[1] > "bytes=1"


def test_a_download_that_always_breaks_off_is_an_error_and_leaves_no_file(
    files: FileServer, store: MinioObjectStore, tmp_path: Path
) -> None:
    files.break_off_after = [1_200_000] + [0] * 100
    with pytest.raises(StoreUnreachable), store.open_file(KEY):
        pytest.fail("short data was given out")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_recording_that_is_not_what_its_key_says_is_damaged(
    files: FileServer, store: MinioObjectStore, tmp_path: Path
) -> None:
    key = f"audio/{hashlib.sha256(b'speech').hexdigest()}"
    files.content[f"/v2t-audio/{key}"] = b"speeck"
    with pytest.raises(StorageDamaged, match=key):
        store.get_bytes(key)
    with pytest.raises(StorageDamaged, match=key), store.open_file(key):
        pytest.fail("damaged data was given out")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_file_that_is_not_what_its_key_says_is_not_stored(store: MinioObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(b"speech")
    with pytest.raises(InputUnreadable, match="changed"):
        store.put_file(f"audio/{'0' * 64}", source)


def test_a_full_scratch_folder_is_named(
    store: MinioObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - closed by the store
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda **_: full)
    with pytest.raises(StorageFull, match="scratch"), store.open_file(KEY):
        pass


@pytest.mark.parametrize("key", ["", "/", "audio/", "/audio", "a/../b", "a//b", "a\nb", "a\0b"])
def test_what_is_no_key_is_refused(store: MinioObjectStore, key: str) -> None:
    with pytest.raises(UsageError, match="not an object key"):
        store.put_bytes(key, b"")


@pytest.mark.parametrize("prefix", ["", "/", "audio", "../", "audio/../"])
def test_only_a_folder_of_objects_can_be_deleted_at_once(store: MinioObjectStore, prefix: str) -> None:
    with pytest.raises(UsageError, match="not the prefix"):
        store.delete_prefix(prefix)


def test_what_is_no_object_store_is_said_to_be_none(store: MinioObjectStore) -> None:
    with pytest.raises(ConfigurationError, match=r"storage\.endpoint"):
        store.get_bytes("t-1/missing.json")


def test_a_server_that_refuses_connections_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minio_client, "_PATIENCE_SECONDS", 0.3)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(StoreUnreachable, match=r"storage\.endpoint"):
            store_at(f"127.0.0.1:{held.getsockname()[1]}", tmp_path).get_bytes(KEY)


def test_a_server_without_tls_is_not_taken_for_one_with(files: FileServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"storage\.ca_file"):
        store_at(files.address.removeprefix("http://"), tmp_path, secure=True).get_bytes(KEY)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NoSuchKey", ObjectMissing),
        ("PreconditionFailed", ObjectMissing),
        ("NoSuchBucket", ConfigurationError),
        ("RequestTimeTooSkewed", ConfigurationError),
        ("AccessDenied", CredentialsRefused),
        ("SignatureDoesNotMatch", CredentialsRefused),
        ("XMinioStorageFull", StorageFull),
        ("SlowDownWrite", StoreUnreachable),
        ("InternalError", StorageError),
    ],
)
def test_what_the_store_refuses_has_a_name_and_a_next_step(code: str, kind: type[V2TError]) -> None:
    account = StoreAccount("m2:9000", "worker", "not-to-be-shown")
    with pytest.raises(V2TError) as raised, named_errors(account, KEY):
        raise S3Error(HTTPResponse(), code, "why", None, None, None)
    assert type(raised.value) is kind
    assert "not-to-be-shown" not in raised.value.message


def test_the_answer_without_a_body_is_understood_by_its_header() -> None:
    response = HTTPResponse(headers={"x-minio-error-code": "NoSuchBucket"})
    with pytest.raises(ConfigurationError), named_errors(StoreAccount("m2:9000", "worker", ""), KEY):
        raise S3Error(response, "NoSuchKey", None, None, None, None)


def test_an_account_does_not_show_its_secret() -> None:
    assert "not-to-be-shown" not in repr(StoreAccount("m2:9000", "worker", "not-to-be-shown"))


def test_certificates_are_verified(tmp_path: Path) -> None:
    pool = store_at("m2:9000", tmp_path, secure=True, ca_file="/etc/v2t/ca.pem")._client._http
    assert isinstance(pool, urllib3.PoolManager)
    assert pool.connection_pool_kw["cert_reqs"] == "CERT_REQUIRED"
    assert pool.connection_pool_kw["ca_certs"] == "/etc/v2t/ca.pem"
