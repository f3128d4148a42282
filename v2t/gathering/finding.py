"""Which recordings folders, patterns and files name."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from v2t.domain.errors import InputNotFound, InputUnreadable, V2TError

RECORDINGS = frozenset(
    {
        *("aac", "ac3", "aif", "aifc", "aiff", "alac", "amr", "ape", "au", "caf", "dts", "flac", "gsm", "m4a", "m4b"),
        *("mka", "mp2", "mp3", "mpc", "oga", "ogg", "opus", "ra", "snd", "spx", "tta", "voc", "w64", "wav", "weba"),
        *("wma", "wv", "3gp", "asf", "avi", "f4v", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts"),
        *("mxf", "ogv", "rm", "ts", "vob", "webm", "wmv"),
    }
)
"""Endings of the names of audio and video files."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file that was found, and where below an output folder its transcript belongs."""

    path: Path
    folder: Path = Path()  # relative

    @property
    def name(self) -> str:
        """As reports show it."""
        return str(self.folder / self.path.name)


@dataclass(slots=True)
class Finding:
    """What sources hold."""

    recordings: list[Recording] = field(default_factory=list)
    ignored: int = 0  # other files
    failures: list[tuple[str, V2TError]] = field(default_factory=list)


def is_recording(name: str) -> bool:
    """Whether a name is one of a visible audio or video file."""
    stem, dot, ending = name.rpartition(".")
    return bool(dot and stem) and not name.startswith(".") and ending.lower() in RECORDINGS


def find_recordings(sources: Sequence[str], *, recursive: bool) -> Finding:
    """The recordings that folders, patterns and files name, in the order of their names.

    A file that is named itself is taken whatever its ending. Links are followed, but no folder is entered twice.
    What cannot be read is a failure of its own and stops nothing.
    """
    finding = Finding()
    for source in sources:
        for path in _expand(source, finding):
            if path.is_dir():
                top = path.parent if len(sources) > 1 else path
                _search(path, top, finding, recursive=recursive, entered=set())
            elif path.is_file() or not path.exists():
                finding.recordings.append(Recording(path))
            else:
                finding.failures.append((str(path), InputUnreadable(f"{path} is not a regular file")))
    unique = {recording.path.absolute(): recording for recording in reversed(finding.recordings)}
    finding.recordings = sorted(unique.values(), key=lambda recording: os.fsencode(recording.path))
    return finding


def _expand(source: str, finding: Finding) -> list[Path]:
    """The paths a source stands for; a pattern that the shell has left is expanded here."""
    path = Path(source)
    if os.path.lexists(path) or not glob.has_magic(source):
        if not os.path.lexists(path):
            finding.failures.append((source, InputNotFound(f"{source} does not exist")))
            return []
        return [path]
    found = [Path(match) for match in sorted(glob.glob(source, recursive=True))]  # noqa: PTH207 - not below a folder
    wanted = [path for path in found if path.is_dir() or is_recording(path.name)]
    finding.ignored += len(found) - len(wanted)
    if not found:
        finding.failures.append((source, InputNotFound(f"{source} matches nothing")))
    return [path for path in wanted if not path.is_dir()] or wanted


def _search(folder: Path, top: Path, finding: Finding, *, recursive: bool, entered: set[tuple[int, int]]) -> None:
    try:
        facts = folder.stat()
        if (facts.st_dev, facts.st_ino) in entered:
            return
        entered.add((facts.st_dev, facts.st_ino))
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        finding.failures.append((str(folder), InputUnreadable(f"{folder} cannot be read: {error.strerror}")))
        return
    for entry in found:
        path = folder / entry.name
        if path.is_dir():
            if recursive and not entry.name.startswith("."):
                _search(path, top, finding, recursive=recursive, entered=entered)
        elif is_recording(entry.name) and path.is_file():
            finding.recordings.append(Recording(path, folder.relative_to(top)))
        else:
            finding.ignored += 1
