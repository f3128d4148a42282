"""A part of this machine's processors for some processes, as if they had a smaller machine of their own. Needs root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.processes import wait_for

_PERIOD = 100_000  # microseconds, the kernel's default
_VERSION_1 = Path("/sys/fs/cgroup/cpu")
_VERSION_2 = Path("/sys/fs/cgroup")


@contextmanager
def share_of_processors(name: str, cores: float) -> Iterator[tuple[str, ...]]:
    """The beginning of a command line whose process, with all that it starts, gets so many cores at most.

    The processes must have ended when the body does.
    """
    quota = round(cores * _PERIOD)
    group = (_VERSION_1 if _VERSION_1.is_dir() else _VERSION_2) / name
    group.mkdir()
    try:
        if _VERSION_1.is_dir():
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD}")
        yield ("sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs"))
    finally:
        wait_for(lambda: not (group / "cgroup.procs").read_text(), f"nothing runs in {group}", 10)
        group.rmdir()
