from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from v2t.cluster.journal import Redaction, diff_lines, hold_cluster, log_lines, open_log, operator, write_audit
from v2t.cluster.progress import Outcome
from v2t.domain.errors import ClusterBusy, StorageUnwritable

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_a_second_operator_is_told_who_is_first(tmp_path: Path) -> None:
    with hold_cluster(tmp_path, "v2t cluster deploy", NOW), pytest.raises(ClusterBusy) as busy:  # noqa: SIM117
        with hold_cluster(tmp_path, "v2t cluster deploy --check", NOW):
            pass

    assert busy.value.message == (
        f"{operator()} has run `v2t cluster deploy` since 2026-03-01T12:00:00Z (process {os.getpid()}); "
        "wait until that has ended"
    )


def test_the_lock_is_free_again_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="failed"), hold_cluster(tmp_path, "first", NOW):
        raise ValueError("failed")

    with hold_cluster(tmp_path, "second", NOW):
        assert "second" in (tmp_path / ".lock").read_text()


def test_the_lock_is_free_after_the_run_though_a_child_lives_on_with_it(tmp_path: Path) -> None:
    with hold_cluster(tmp_path, "first", NOW) as lock:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    try:
        with hold_cluster(tmp_path, "second", NOW):
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_lock_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(StorageUnwritable, match=r"gone/\.lock"), hold_cluster(tmp_path / "gone", "x", NOW):
        pass


def test_every_run_is_one_line_of_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    command = ("v2t", "cluster", "deploy", "--limit=a b")

    write_audit(tmp_path, command, "ok, 3 changed", NOW, NOW + timedelta(seconds=61))
    write_audit(tmp_path, command, "failed: two\nlines\t", NOW, NOW)

    first, second = (tmp_path / "audit.log").read_text().splitlines()
    assert first.split("\t") == [
        "2026-03-01T12:00:00Z",
        operator(),
        "v2t cluster deploy '--limit=a b'",
        "ok, 3 changed",
        "61 s",
    ]
    assert first.split("\t")[1].startswith("alice@")
    assert "failed: two?lines?" in second


def test_a_log_is_read_by_its_owner_only(tmp_path: Path) -> None:
    with open_log(tmp_path, "deploy", NOW) as log:
        path = Path(log.name)

    assert path == tmp_path / "log" / "20260301T120000Z-deploy.log"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_values_of_the_vault_are_hidden_wherever_they_stand() -> None:
    variables = {
        "m2": {"vault_a": "hush-hush-1", "vault_b": "hush-hush-12", "vault_short": "v2t", "other": "plain text"}
    }

    hidden = Redaction.of(variables).hide("a=hush-hush-1 b=hush-hush-12 v2t plain text")

    assert hidden == "a=*** b=*** v2t plain text"


def test_the_log_tells_all_of_a_failed_item_and_little_of_what_is_well() -> None:
    well = Outcome("m2", "redis : Look", "ok", {"stdout": "long"})
    item = {"cmd": ["false"], "stderr": "bad", "rc": 1}
    failed = Outcome("m2", "redis : Look", "failed", {"msg": "One or more items failed", "results": [item]})

    assert log_lines(well) == ["ok: m2: redis : Look"]
    assert log_lines(failed) == [
        "failed: m2: redis : Look",
        "    msg: One or more items failed",
        "    cmd: [",
        '     "false"',
        "    ]",
        "    stderr: bad",
    ]


@pytest.mark.parametrize("wrap", [list, lambda parts: parts[0]])
def test_differences_are_shown_as_a_unified_diff(wrap: object) -> None:
    part = {"before": "a\nb\n", "after": "a\nc\n", "before_header": "old", "after_header": "new"}

    assert diff_lines({"diff": wrap([part])}) == ["--- old", "+++ new", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]  # type: ignore[operator]
    assert diff_lines({"diff": {"prepared": "+ one"}}) == ["+ one"]
    assert diff_lines({}) == []
