"""Where the transcripts of a batch or of a watched folder go: into folders like those of their sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from v2t.cli.destination import Destination
from v2t.domain.subtitles import SubtitleLimits
from v2t.domain.transcript import Transcript

if TYPE_CHECKING:
    from v2t.gathering.finding import Recording


class Outputs:
    """What is written for each recording.

    Args:
        formats: as `--format` has them.
        folder: what everything is written below.
        beside: write next to each source instead.

    Raises:
        UsageError: the options exclude each other, or name no format.
    """

    def __init__(self, formats: str, folder: Path | None, *, beside: bool) -> None:
        self._formats = formats
        self.folder = folder
        self.beside = beside
        self.are_wanted = bool(folder or beside)
        self._destinations: dict[Path, Destination] = {}
        Destination.parse(formats, folder or Path(), beside=False, files=())
        Destination.parse(formats.partition(",")[0], folder, beside=beside, files=())

    def refuse_shared_targets(self, recordings: Sequence[Recording]) -> None:
        """Learn all recordings, so that those of one name get names of their own. Raises UsageError."""
        groups: dict[Path, list[Path]] = {}
        for recording in recordings:
            groups.setdefault(recording.folder, []).append(recording.path)
        if self.are_wanted:
            self._destinations = {folder: self._parse(folder, files) for folder, files in groups.items()}

    def targets(self, recording: Recording) -> list[Path]:
        """The files that a recording gets."""
        return self._destination(recording).targets(recording.path)

    def missing(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Those some of whose files are not there."""
        return [item for item in recordings if not all(target.exists() for target in self.targets(item))]

    def write(self, recording: Recording, transcript: Transcript, limits: SubtitleLimits) -> tuple[Path, ...]:
        """Write one recording's files. Raises StorageError."""
        return tuple(self._destination(recording).write(recording.path, transcript, limits))

    def _destination(self, recording: Recording) -> Destination:
        if recording.folder not in self._destinations:
            self._destinations[recording.folder] = self._parse(recording.folder, [recording.path])
        return self._destinations[recording.folder]

    def _parse(self, folder: Path, files: Sequence[Path]) -> Destination:
        place = self.folder / folder if self.folder else None
        return Destination.parse(self._formats, place, beside=self.beside, files=files)
