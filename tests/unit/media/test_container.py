from __future__ import annotations

import io
import os
import socket
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from v2t.domain.errors import AudioError, EmptyInput, InputNotFound, InputUnreadable, NoAudioTrack, NotAudio
from v2t.media.container import open_media

Make = Callable[..., Path]

DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT10S"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1000"><BaseURL>{target}</BaseURL>'
    '<SegmentBase indexRange="0-100"/></Representation></AdaptationSet></Period></MPD>'
)


def facts(path: Path) -> tuple[str, float, float]:
    with open_media(path) as media:
        return media.container.format.name, media.declared_seconds, media.promised_seconds


def wav_bytes(seconds: float = 1.0) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(int(seconds * 16_000) * 2))
    return buffer.getvalue()


def picture() -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")


def write_pictures(path: Path, codec: str, pixels: str, *, container_format: str | None = None) -> None:
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
        container.mux(stream.encode(picture().reformat(format=pixels)))
        container.mux(stream.encode(None))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_an_empty_file_is_empty_input(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    with pytest.raises(EmptyInput, match="0 bytes"):
        facts(path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        facts(tmp_path / "a.wav")


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InputUnreadable):
        facts(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"Hello, this is plain text.\n" * 200,
        b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n" * 20,
        b"\x1b[31mred\x1b[0m text for a terminal\n" * 100,
        b"<html><body>Not found</body></html>",
        b"{}",
        b"\0" * 5000,
        b"PK\x03\x04" + b"\0" * 3000,
        *(np.random.default_rng(seed).bytes(20_000) for seed in range(5)),
    ],
)
def test_what_is_not_media_is_not_audio(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(NotAudio):
        facts(path)


def test_a_photo_has_no_audio_track(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    write_pictures(path, "mjpeg", "yuvj420p", container_format="image2")
    with pytest.raises(NoAudioTrack):
        facts(path)


def test_a_silent_film_has_no_audio_track(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_pictures(path, "mpeg4", "yuv420p")
    with pytest.raises(NoAudioTrack):
        facts(path)


@pytest.mark.parametrize(
    "name",
    [
        "http:a.wav",
        "concat:a|b",
        "pipe:0",
        "-i.wav",
        "a%03d.wav",
        "a\nb.m3u8",
        "🎤 ünï.mp3",
        os.fsdecode(b"\xff\xfe.wav"),
        "x.sdp",
    ],
)
def test_a_hostile_name_changes_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(wav_bytes())
    assert facts(path)[0] == "wav"


@pytest.mark.parametrize("before", ["", "\ufeff", "\n\n"])
@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/a.ts", "secret.wav", "file:secret.wav", "/etc/passwd"])
@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{target}'\n",
        "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
        "{target}\n",
        DASH,
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\na=control:{target}\n",
    ],
)
def test_a_file_that_names_others_reaches_none_of_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listener: socket.socket,
    playlist: str,
    target: str,
    before: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.wav").write_bytes(wav_bytes())
    path = tmp_path / "a.mp3"
    path.write_text(before + playlist.format(target=target.format(port=listener.getsockname()[1])))
    with pytest.raises(AudioError):
        facts(path)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_playlist_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_text("#EXTM3U\nhttp://127.0.0.1/a.mp3\n")
    with pytest.raises(NotAudio, match="playlist"):
        facts(path)


def test_even_a_playlist_past_the_first_check_may_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("v2t.media.container._PLAYLISTS", ())
    (tmp_path / "secret.wav").write_bytes(wav_bytes())
    path = tmp_path / "a.mp3"
    path.write_text("ffconcat version 1.0\nfile secret.wav\n")
    with pytest.raises(NotAudio):
        facts(path)


def test_the_picture_of_a_video_is_not_read(make_media: Make) -> None:
    path = make_media("a.mp4", "aac", np.zeros(48_000 * 4, np.int16), video_seconds=4.0)
    with open_media(path) as media:
        read = [packet for packet in media.container.demux() if packet.stream.type == "video" and packet.size]
    assert len(read) <= 2  # of 100: what the probe had buffered


def test_the_length_in_a_wav_header_is_a_promise(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes(10.0)[:160_000])
    _, declared, promised = facts(path)
    assert declared == pytest.approx(5.0, abs=0.01)
    assert promised == pytest.approx(10.0, abs=0.01)


def test_a_wav_that_was_never_finished_promises_only_what_is_there(tmp_path: Path) -> None:
    data = bytearray(wav_bytes(10.0))
    data[4:8] = data[40:44] = b"\xff" * 4
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    _, _, promised = facts(path)
    assert promised == pytest.approx(10.0, abs=0.01)


def test_an_estimated_length_is_no_promise(make_media: Make) -> None:
    path = make_media("a.aac", "aac", np.zeros(480_000, np.int16), container_format="adts")
    _, declared, promised = facts(path)
    assert declared > 0
    assert promised == 0
