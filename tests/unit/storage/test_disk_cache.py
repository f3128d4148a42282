from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.caches import disk_cache, end, first_line, process, recording

from v2t.storage.disk_cache import DiskCache, Mismatch

LIMIT = 1000


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return disk_cache(tmp_path, LIMIT)


def writing(data: bytes) -> Callable[[IO[bytes]], object]:
    return lambda file: file.write(data)


def enter(cache: DiskCache, key: str, size: int = 400, etag: str = "") -> bool:
    """Enter an object of so many bytes; whether it was taken in."""
    entry = cache.enter(key, etag, writing(key[-1:].encode() * size))
    if entry:
        entry.close()
    return entry is not None


def has(cache: DiskCache, key: str, etag: str = "") -> bool:
    """Whether an object is there; this uses it."""
    entry = cache.find(key, etag)
    if entry:
        entry.close()
    return entry is not None


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def only_file(tmp_path: Path) -> Path:
    (path,) = files_below(tmp_path / "cache" / "entries")
    return path


def test_an_entry_is_found_by_the_next_process(cache: DiskCache, tmp_path: Path) -> None:
    enter(cache, "models/a.bin")
    entry = disk_cache(tmp_path, LIMIT).find("models/a.bin", "")
    assert entry
    assert entry.path.read_bytes() == b"n" * 400
    assert entry.path.suffix == ".bin"
    entry.close()


def test_another_version_is_another_object(cache: DiskCache) -> None:
    enter(cache, "models/a", etag="one")
    assert has(cache, "models/a", "one")
    assert not has(cache, "models/a", "two")
    enter(cache, "models/a", etag="two")
    assert not has(cache, "models/a", "one")
    assert cache.size().entries == 1


def test_the_least_recently_used_leaves_first(cache: DiskCache) -> None:
    enter(cache, "models/a")
    enter(cache, "models/b")
    assert has(cache, "models/a")
    enter(cache, "models/c")
    assert has(cache, "models/a")
    assert not has(cache, "models/b")


def test_use_by_another_process_counts(cache: DiskCache, tmp_path: Path) -> None:
    enter(cache, "models/a")
    enter(cache, "models/b")
    end(process("use", tmp_path, "models/a"))
    enter(cache, "models/c")
    assert has(cache, "models/a")
    assert not has(cache, "models/b")


def test_an_entry_in_use_stays(cache: DiskCache, tmp_path: Path) -> None:
    enter(cache, "models/a", 900)
    entry = cache.find("models/a", "")
    assert entry
    assert not enter(cache, "models/b", 900)
    cache.discard("models/a")
    assert entry.path.exists()
    entry.close()
    assert enter(cache, "models/b", 900)
    assert not has(cache, "models/a")


def test_an_entry_that_another_process_uses_stays(cache: DiskCache, tmp_path: Path) -> None:
    enter(cache, "models/a", 900)
    other = process("hold", tmp_path, "models/a")
    assert first_line(other) == "found"
    assert not enter(cache, "models/b", 900)
    end(other)
    assert enter(cache, "models/b", 900)


@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "find", "discard"]), st.sampled_from("abcdef"), st.integers(0, 1100)),
        max_size=25,
    )
)
@settings(max_examples=40, deadline=None)
def test_whatever_is_done_it_keeps_the_last_used_within_its_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    model: dict[str, int] = {}  # the least recently used first
    for verb, name, size in steps:
        cache = DiskCache(folder, LIMIT)  # each step by a process of its own
        key = f"models/{name}"
        if verb == "enter":
            model.pop(name, None) if size <= LIMIT else None
            assert enter(cache, key, size, str(size)) == (size <= LIMIT)
            if size <= LIMIT:
                if sum(model.values()) + size > LIMIT:
                    while model and sum(model.values()) > max(0, LIMIT - size - LIMIT // 20):
                        del model[next(iter(model))]
                model[name] = size
            else:
                model.pop(name, None)
        elif verb == "find":
            assert has(cache, key, str(model.get(name, ""))) == (name in model)
            if name in model:
                model[name] = model.pop(name)
        else:
            cache.discard(key)
            model.pop(name, None)
        there = files_below(folder / "entries")
        assert {path.parent.name for path in there} == set(model)
        assert sum(path.stat().st_size for path in there) == sum(model.values()) <= LIMIT
        assert (cache.size().bytes_used, cache.size().entries) == (sum(model.values()), len(model))


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


def flip_a_byte_unseen(path: Path) -> None:
    there = path.stat()
    flip_a_byte(path)
    os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))


def cut_short(path: Path) -> None:
    os.truncate(path, 100)


@pytest.mark.parametrize("damage", [flip_a_byte, flip_a_byte_unseen, cut_short])
def test_a_damaged_entry_is_never_found_again(cache: DiskCache, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    enter(cache, "models/a")
    assert has(cache, "models/a")
    damage(only_file(tmp_path))
    assert not has(cache, "models/a")
    assert not files_below(tmp_path / "cache" / "entries")


def test_a_damaged_entry_in_use_is_replaced_by_a_good_one(cache: DiskCache, tmp_path: Path) -> None:
    enter(cache, "models/a")
    entry = cache.find("models/a", "")
    assert entry
    flip_a_byte(entry.path)
    assert not has(cache, "models/a")
    enter(cache, "models/a")
    assert entry.path.read_bytes() == b"a" * 400
    entry.close()


def test_content_that_its_key_does_not_name_is_refused(cache: DiskCache, tmp_path: Path) -> None:
    key = recording(b"speech")
    with pytest.raises(Mismatch):
        cache.enter(key, "", writing(b"other"), sha256=key.removeprefix("audio/"))
    assert not has(cache, key)
    assert not files_below(tmp_path / "cache" / "incoming")


def test_a_file_is_adopted_by_renaming_it(cache: DiskCache, tmp_path: Path) -> None:
    source = tmp_path / "0.wav"
    source.write_bytes(b"speech")
    source.chmod(0o666)
    inode = source.stat().st_ino
    entry = cache.adopt("t-1/chunks/0.wav", "", source)
    assert entry
    entry.close()
    assert only_file(tmp_path).stat().st_ino == inode
    assert not source.exists()


def test_a_file_with_a_second_name_is_not_adopted(cache: DiskCache, tmp_path: Path) -> None:
    source = tmp_path / "0.wav"
    source.write_bytes(b"speech")
    (tmp_path / "link.wav").symlink_to(source)
    (tmp_path / "second.wav").hardlink_to(source)
    for name in ("0.wav", "link.wav"):
        with pytest.raises(OSError, match="one name"):
            cache.adopt("t-1/chunks/0.wav", "", tmp_path / name)


def test_entries_are_readable_by_their_owner_only(cache: DiskCache, tmp_path: Path) -> None:
    enter(cache, "models/a")
    assert only_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_objects_below_a_prefix_are_forgotten_together(cache: DiskCache, tmp_path: Path) -> None:
    for key in ("t-1/chunks/0.wav", "t-1/chunks/1.wav", "t-10/chunks/0.wav"):
        enter(cache, key, 100)
    cache.discard_prefix("t-1/chunks/")
    assert has(cache, "t-10/chunks/0.wav")
    assert cache.size().entries == 1
    assert not (tmp_path / "cache/entries/t-1").exists()


def test_a_full_disk_gets_space_back(cache: DiskCache) -> None:
    enter(cache, "models/a")
    enter(cache, "models/b")
    cache.shrink(100)
    assert not has(cache, "models/a")
    assert has(cache, "models/b")


@pytest.mark.parametrize("written", [None, "", "7", "nonsense" * 10])
def test_a_lost_count_is_counted_anew(cache: DiskCache, tmp_path: Path, written: str | None) -> None:
    enter(cache, "models/a")
    usage = tmp_path / "cache" / "usage"
    if written is None:
        usage.unlink()
    else:
        usage.write_text(written)
    assert (cache.size().bytes_used, cache.size().entries) == (400, 1)
    enter(cache, "models/b")
    assert usage.read_text().split() == ["00000000000000000800", "0000000002"]


def test_a_wrong_count_is_set_right_by_the_next_process(cache: DiskCache, tmp_path: Path) -> None:
    enter(cache, "models/a")
    (tmp_path / "cache" / "usage").write_text("3 1")
    restarted = disk_cache(tmp_path, LIMIT)
    enter(restarted, "models/b")
    enter(restarted, "models/c")
    assert restarted.size().bytes_used == 800


def test_a_folder_removed_under_its_users_is_made_again(cache: DiskCache, tmp_path: Path) -> None:
    enter(cache, "models/a")
    (tmp_path / "cache").rename(tmp_path / "away")
    assert not has(cache, "models/a")
    assert cache.size().bytes_used == 0
    assert enter(cache, "models/a")


def test_a_killed_fetch_leaves_nothing_behind(cache: DiskCache, tmp_path: Path) -> None:
    other = process("die", tmp_path, "models/a")
    assert first_line(other) == "writing"
    other.kill()
    other.communicate()
    begun = time.monotonic()
    with cache.only_one("models/a"):
        assert not has(cache, "models/a")
        assert enter(cache, "models/a")
    assert time.monotonic() - begun < 5
    assert not files_below(tmp_path / "cache" / "incoming")
    assert not files_below(tmp_path / "cache" / "locks")


def test_a_fetch_that_goes_on_is_left_alone_by_others(cache: DiskCache, tmp_path: Path) -> None:
    other = process("die", tmp_path, "models/a")
    assert first_line(other) == "writing"
    enter(cache, "models/b")
    assert len(files_below(tmp_path / "cache" / "incoming")) == 1
    other.kill()
    other.communicate()


def test_only_one_at_a_time_fetches_an_object(cache: DiskCache, tmp_path: Path) -> None:
    inside, most = 0, 0

    def fetch() -> None:
        nonlocal inside, most
        for _ in range(20):
            with cache.only_one("models/a"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=fetch) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not files_below(tmp_path / "cache" / "locks")


def test_others_need_not_wait(cache: DiskCache) -> None:
    with cache.only_one("models/a"), cache.only_one("models/b"):
        pass


def test_a_write_that_the_disk_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = disk_cache(tmp_path, 1 << 20)
    enter(cache, "models/a", 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
            enter(cache, "models/b", 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert not files_below(tmp_path / "cache" / "incoming")
    assert has(cache, "models/a")
    assert cache.size().entries == 1
