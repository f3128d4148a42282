"""Where transcripts go: stdout, or files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from v2t.cli.output import say
from v2t.domain.errors import DISK_FULL, StorageError, StorageFull, StorageUnwritable, UsageError
from v2t.domain.formats import Format, render
from v2t.domain.subtitles import SubtitleLimits
from v2t.domain.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Destination:
    """The formats asked for, and the folder they go to."""

    formats: tuple[Format, ...]
    folder: Path | None  # None: stdout, or beside the source
    beside: bool
    ambiguous: frozenset[str]  # stems that several sources of this call share

    @classmethod
    def parse(cls, formats: str, folder: Path | None, *, beside: bool, files: Sequence[Path]) -> Destination:
        """Check the options against each other. Raises UsageError."""
        try:
            wanted = tuple(dict.fromkeys(Format(name.strip().lower()) for name in formats.split(",") if name.strip()))
        except ValueError as error:
            known = ", ".join(format_.value for format_ in Format)
            raise UsageError(
                f"{str(error).split(' is ', maxsplit=1)[0]} is not a format; there are {known}."
            ) from error
        if not wanted:
            raise UsageError("--format names no format.")
        if folder and beside:
            raise UsageError("--output and --beside exclude each other.")
        if len(wanted) > 1 and not (folder or beside):
            raise UsageError("Several formats need --output FOLDER or --beside: stdout takes one.")
        stems = Counter((None if folder else file.parent, file.stem) for file in files)
        ambiguous = frozenset(stem for (_, stem), count in stems.items() if count > 1)
        destination = cls(wanted, folder, beside, ambiguous)
        if not destination.is_stdout:
            destination._refuse_shared_targets(files)
        return destination

    @property
    def is_stdout(self) -> bool:
        """Whether text is printed instead of written."""
        return not (self.folder or self.beside)

    def targets(self, source: Path) -> list[Path]:
        """The files that `source` gets, one a format."""
        folder = self.folder or source.parent
        # a.wav and a.mp3 in one call must not write over each other
        stem = source.name if source.stem in self.ambiguous else source.stem
        return [folder / f"{stem}{format_.suffix}" for format_ in self.formats]

    def _refuse_shared_targets(self, files: Sequence[Path]) -> None:
        writers: dict[Path, Path] = {}
        for file in files:
            for target in self.targets(file):
                other = writers.setdefault(target, file)
                if other != file:
                    raise UsageError(f"{other} and {file} would both be written to {target}; use --beside.")

    def without_existing(self, files: Sequence[Path], *, quiet: bool) -> tuple[Path, ...]:
        """The sources some of whose files are missing. Raises UsageError for stdout."""
        if self.is_stdout:
            raise UsageError("--skip-existing needs --output FOLDER or --beside.")
        missing = []
        for file in files:
            if all(target.exists() for target in self.targets(file)):
                if not quiet:
                    say(f"{file}: its output exists, skipped")
            else:
                missing.append(file)
        return tuple(missing)

    def text(self, transcript: Transcript, limits: SubtitleLimits) -> str:
        """What goes to stdout for one source."""
        return render(transcript, self.formats[0], limits)

    def write(self, source: Path, transcript: Transcript, limits: SubtitleLimits) -> list[Path]:
        """Write one source's files. Raises StorageError."""
        targets = self.targets(source)
        for target, format_ in zip(targets, self.formats, strict=True):
            _write_whole(target, render(transcript, format_, limits))
        return targets


def _write_whole(target: Path, content: str) -> None:
    draft = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=".v2t-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        Path(draft).chmod(0o666 & ~umask)  # mkstemp's 0600 is not what a person's other files have
        Path(draft).replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        if isinstance(error, OSError):
            raise _as_storage_error(error, target) from error
        raise


def _as_storage_error(error: OSError, target: Path) -> StorageError:
    if error.errno in DISK_FULL:
        return StorageFull(f"{target} could not be written: no space left on the disk.")
    return StorageUnwritable(f"{target} could not be written: {error.strerror}.")
