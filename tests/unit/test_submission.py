from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from v2t.config import Settings
from v2t.config.machine import StandaloneSettings
from v2t.domain.errors import EmptyInput, InputNotFound, InputUnreadable, ObjectMissing
from v2t.domain.jobs import TranscribeOptions, transcript_key
from v2t.domain.transcript import Transcript, to_document
from v2t.storage.objects import DirectoryObjectStore
from v2t.submission import Submission, find_stored, identify, stored_transcript
from v2t.testing import MemoryObjectStore

OPTIONS = TranscribeOptions(provider="local", model="tiny")


def test_a_file_is_named_by_its_content_and_the_parameters(tmp_path: Path) -> None:
    first, copy, other = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav"))
    first.write_bytes(b"speech")
    copy.write_bytes(b"speech")
    other.write_bytes(b"other speech")
    request = identify(first, OPTIONS, "ada")
    assert request.audio.sha256 == hashlib.sha256(b"speech").hexdigest()
    assert (request.audio.size_bytes, request.audio.name, request.user) == (6, "a.wav", "ada")
    assert identify(copy, OPTIONS, "ada").job_id == request.job_id
    assert identify(other, OPTIONS, "ada").job_id != request.job_id
    assert identify(first, TranscribeOptions(model="base"), "ada").job_id != request.job_id


def test_a_large_file_is_read_in_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    with path.open("wb") as file:
        file.truncate(5 * 1024 * 1024 + 1)
    assert identify(path, OPTIONS, "ada").audio.sha256 == hashlib.sha256(bytes(5 * 1024 * 1024 + 1)).hexdigest()


def test_a_name_in_a_broken_encoding_still_travels_as_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/broken \xff.wav"))
    path.write_bytes(b"speech")
    name = identify(path, OPTIONS, "ada").audio.name
    assert json.loads(json.dumps(name).encode()) == name
    assert name.encode() == b"broken ?.wav"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"no\.wav does not exist"):
        identify(tmp_path / "no.wav", OPTIONS, "ada")


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"speech")
    with pytest.raises(InputUnreadable, match="Not a directory"):
        identify(tmp_path / "a.wav" / "b.wav", OPTIONS, "ada")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputUnreadable, match="is a folder; name the files in it"):
        identify(tmp_path, OPTIONS, "ada")


def test_a_pipe_without_a_writer_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputUnreadable, match="is not a regular file"):
        identify(tmp_path / "pipe", OPTIONS, "ada")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(EmptyInput, match=r"a\.wav is empty"):
        identify(tmp_path / "a.wav", OPTIONS, "ada")


def test_no_refused_file_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    (tmp_path / "a.wav").touch()
    for path in (tmp_path, tmp_path / "a.wav", Path("/dev/null")):
        with pytest.raises((InputUnreadable, EmptyInput)):
            identify(path, OPTIONS, "ada")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("content", [b"", b"{}", b"not JSON", b'{"schema": "v2t.transcript/1"}', b"\xff\xfe"])
def test_a_damaged_transcript_is_as_good_as_none(content: bytes) -> None:
    store = MemoryObjectStore()
    store.put_bytes(transcript_key("t-a"), content)
    with pytest.raises(ObjectMissing, match="--fresh"):
        stored_transcript(store, "t-a")


def test_what_is_stored_is_found_without_a_cluster(tmp_path: Path) -> None:
    settings = Settings(standalone=StandaloneSettings(folder=tmp_path / "data"))
    path = tmp_path / "a.wav"
    path.write_bytes(b"speech")
    known = Submission(path, identify(path, OPTIONS, "ada"))
    unknown = Submission(path, identify(path, TranscribeOptions(model="base"), "ada"))
    failed = Submission(path, error=InputNotFound())
    assert known.request is not None
    transcript = Transcript(1.0, model="tiny", source="a.wav")
    store = DirectoryObjectStore(tmp_path / "data" / "objects")
    store.put_bytes(transcript_key(known.request.job_id), json.dumps(to_document(transcript)).encode())
    find_stored(settings, [known, unknown, failed])
    assert (known.transcript, known.stored, known.is_open) == (transcript, True, False)
    assert (unknown.transcript, unknown.stored, unknown.is_open) == (None, False, True)
    assert failed.transcript is None


def test_looking_for_what_is_stored_makes_no_folder(tmp_path: Path) -> None:
    settings = Settings(standalone=StandaloneSettings(folder=tmp_path / "data"))
    find_stored(settings, [])
    assert not (tmp_path / "data").exists()
