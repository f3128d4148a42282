"""Open untrusted media so that FFmpeg can reach nothing but that one file, and state its facts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition, Stream

from v2t.domain.errors import EmptyInput, InputNotFound, InputUnreadable, NoAudioTrack, NotAudio

_PLAYLISTS = (b"#EXTM3U", b"[playlist]", b"ffconcat")
"""How files begin that hold no audio but name other files or addresses to read."""

_TEXT_FORMATS = frozenset({"tty"})
"""Demuxers that present plain text as video."""

_UNKNOWN_RIFF_BYTES = 0x7FFF0000
"""From here on a RIFF size is a placeholder of a recorder that never came back to fill it in."""


@dataclass(frozen=True, slots=True)
class Media:
    """An opened file and its facts, all in seconds.

    `origin_seconds` is the stamp that players show as zero; None where the first audio frame is zero.
    `declared_seconds` is the length from zero as the container says or FFmpeg estimates, 0 when unknown.
    `promised_seconds` is where the audio should end by what the container states itself, 0 when it states nothing.
    """

    container: InputContainer
    stream: AudioStream
    origin_seconds: float | None
    declared_seconds: float
    promised_seconds: float


class _Source:
    """A file without a name: FFmpeg probes content only, and hostile names never reach it."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[Media]:
    """Open the best audio stream of `path` (FFmpeg's `av_find_best_stream`); other streams are discarded unread.

    Raises:
        InputNotFound, InputUnreadable: there is no such readable file.
        EmptyInput: zero bytes, or headers with nothing behind them.
        NotAudio: not media, a playlist, or a codec without a decoder.
        NoAudioTrack: video or image without sound.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise InputNotFound("the audio file is gone; pass it again") from error
    except OSError as error:
        raise InputUnreadable(f"the audio file cannot be read: {error.strerror}") from error
    with file:
        size_bytes = file.seek(0, 2)
        file.seek(0)
        if not size_bytes:
            raise EmptyInput("the file is empty (0 bytes); check that the recording or copy is complete")
        with _open_container(file) as container:
            stream = _choose_stream(container)
            yield Media(
                container,
                stream,
                origin_seconds=_origin_seconds(container, stream),
                declared_seconds=max(0.0, (container.duration or 0) / 1e6),
                promised_seconds=_promised_seconds(container, stream, path, size_bytes),
            )


def _open_container(file: BinaryIO) -> InputContainer:
    head = file.read(16)
    file.seek(0)
    if head.startswith(_PLAYLISTS):
        raise NotAudio("a playlist holds no audio itself; pass the files it names")
    # There is no protocol of this name: whatever else a demuxer wants to open, by path or by URL, it may not.
    options = {"protocol_whitelist": "none"}
    try:
        return av.open(_Source(file), "r", container_options=options, metadata_errors="replace", buffer_size=1 << 16)
    except av.error.EOFError as error:
        raise EmptyInput("the file ends before its audio begins; check that the recording is complete") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise NotAudio(
            "the file is not audio or video that can be decoded, or it is damaged or cut short; play it to check"
        ) from error


def _choose_stream(container: InputContainer) -> AudioStream:
    best = container.streams.best("audio")
    if best is None:
        pictures = container.streams.video and container.format.name not in _TEXT_FORMATS
        if pictures:
            raise NoAudioTrack("the file has pictures but no sound; pass one with an audio track")
        raise NotAudio("the file holds no audio; pass an audio or video file")
    candidates: list[Stream] = [best, *container.streams.audio]
    for candidate in candidates:
        if isinstance(candidate, AudioStream) and candidate.codec_context is not None:
            for other in container.streams:
                if other.index != candidate.index:
                    other.discard = Discard.all
            candidate.codec_context.thread_count = 1
            return candidate
    raise NotAudio("the audio's codec has no decoder here; convert the file to WAV or FLAC and pass that")


def _origin_seconds(container: InputContainer, stream: AudioStream) -> float | None:
    alone = not any(
        other.index != stream.index
        and other.type in ("audio", "video")
        and not other.disposition & Disposition.attached_pic
        for other in container.streams
    )
    # containers of audio alone begin with their first sample for every player; a start time there is
    # encoder delay (MP3) or a cut out of a longer broadcast (Ogg, MPEG-TS)
    if alone or container.start_time is None:
        return None
    return container.start_time / 1e6


def _promised_seconds(container: InputContainer, stream: AudioStream, path: Path, size_bytes: int) -> float:
    duration = (container.duration or 0) / 1e6
    if container.format.name == "wav":
        return duration * _riff_fraction(path, size_bytes)
    if len(container.streams) > 1:
        return _track_seconds(container, stream)
    bit_rate = stream.codec_context.bit_rate
    if bit_rate and abs(duration - size_bytes * 8 / bit_rate) < 0.01 * duration:
        return 0.0  # what FFmpeg estimates from bytes and bit rate, as for an MP3 without a length header
    return duration


def _riff_fraction(path: Path, size_bytes: int) -> float:
    """How many times longer than the file its RIFF header says it is, at least 1 (FFmpeg believes the file)."""
    with path.open("rb") as file:
        header = file.read(8)
    riff_bytes = int.from_bytes(header[4:], "little")
    if not header.startswith(b"RIFF") or riff_bytes >= _UNKNOWN_RIFF_BYTES:
        return 1.0
    return max(1.0, (riff_bytes + 8) / size_bytes)


def _track_seconds(container: InputContainer, stream: AudioStream) -> float:
    """Where the audio track itself should end: a video's length says nothing about its sound."""
    start = container.start_time or 0
    if stream.duration and stream.time_base:
        return float(stream.time_base * ((stream.start_time or 0) + stream.duration)) - start / 1e6
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # as Matroska muxers write it
    minutes, _, seconds = rest.partition(":")
    try:
        return float(int(hours) * 3600 + int(minutes) * 60) + float(seconds) - start / 1e6
    except ValueError:
        return 0.0
