"""What every provider must do, whether it computes here, asks a service, or runs a command on another machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.every_provider import EVERY_PROVIDER, Place, Subject, errors_of, open_subject
from support.kennedy import SPEECH_SECONDS
from support.processes import until
from support.recordings import SAMPLE_RATE, write_wav
from support.speech_apis import SECRET
from support.ssh_server import serve_ssh

from v2t.config import load_settings
from v2t.domain.errors import (
    ConfigurationError,
    EngineEmptyResult,
    ProviderRejected,
    UnknownModel,
    V2TError,
)
from v2t.weights.store import ModelStore

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(scope="module")
def place_of(stack: ExitStack, samples: Path, models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """All but the folder, which each test has for itself; the sshd is started by the first that needs it."""
    sshd = cache(lambda: stack.enter_context(serve_ssh(tmp_path_factory.mktemp("ssh") / "server")))
    return Place(samples, ModelStore(models_folder), tmp_path_factory.getbasetemp(), sshd)


@pytest.fixture(params=EVERY_PROVIDER)
async def subject(
    request: pytest.FixtureRequest, place_of: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Subject]:
    monkeypatch.setenv("SPEECH_SECRET", SECRET)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = Place(place_of.samples, place_of.models, tmp_path, place_of.sshd)
    async with open_subject(request.param, place) as opened:
        yield opened


def silence(folder: Path, seconds: float) -> Path:
    return write_wav(folder / "silence.wav", np.zeros(round(seconds * SAMPLE_RATE), np.int16))


async def test_it_hears_what_was_said_and_when(subject: Subject) -> None:
    progress: list[float] = []
    result = await subject.hear(on_progress=progress.append)
    text = " ".join(segment.text for segment in result.segments).lower().replace(",", "")
    assert "ask not what your country can do for you" in text
    assert (result.language, result.language_probability, subject.provider.name) == ("en", 1.0, subject.name)
    assert result.engine_seconds > 0
    assert progress == sorted(progress)
    words = [word for segment in result.segments for word in segment.words]
    for spans in ([(each.start, each.end) for each in result.segments], [(each.start, each.end) for each in words]):
        assert all(0 <= start <= end <= SPEECH_SECONDS for start, end in spans)
        assert all(before[0] <= after[0] for before, after in pairwise(spans))
    assert all(0 < word.probability <= 1 and word.spaced and word.text == word.text.strip() != "" for word in words)


async def test_it_can_do_what_its_capabilities_say_and_no_more(subject: Subject) -> None:
    capabilities = subject.provider.capabilities
    result = await subject.hear()
    assert any(segment.words for segment in result.segments) == capabilities.words
    assert capabilities.languages is None or "en" in capabilities.languages
    if capabilities.translation:
        assert (await subject.hear(translate=True)).segments
    else:
        with pytest.raises(ProviderRejected, match="translate"):
            await subject.hear(translate=True)


async def test_no_text_where_there_surely_is_speech_is_a_failure(subject: Subject, tmp_path: Path) -> None:
    subject.hush()
    with pytest.raises(EngineEmptyResult) as raised:
        await subject.hear(silence(tmp_path, 4.0), 4.0)
    assert raised.value.retryable
    assert (await subject.hear(silence(tmp_path, 1.0), 1.0)).segments == ()


async def test_a_model_that_is_not_there_is_named_and_not_asked_for_again(subject: Subject) -> None:
    subject.deny_model()
    with pytest.raises((UnknownModel, ConfigurationError, ProviderRejected), match="model") as raised:
        await subject.hear(model="none-large")
    assert not raised.value.retryable
    assert (await subject.hear()).segments


async def test_cancelling_ends_the_work_within_2_seconds_and_leaves_nothing(subject: Subject) -> None:
    progress: list[float] = []
    task = asyncio.create_task(subject.hear(subject.long_audio(), 90.0, progress.append))
    await until(lambda: task.done() or subject.begun(progress), "it works", 300.0)
    assert bool(progress) == subject.provider.capabilities.streaming
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not subject.left(), "nothing is left", 2.0)
    assert time.monotonic() - begun < 2
    assert (await subject.hear()).segments


async def test_whether_it_would_take_work_is_told_without_computing(subject: Subject) -> None:
    said = await subject.provider.check()
    assert said.isprintable()
    assert said


async def test_a_setting_that_makes_no_sense_is_named(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    section, _, key = subject.unhappy.partition(".")
    variable = f"V2T_{section}__{key}".upper()
    monkeypatch.setenv(variable, "0")
    with pytest.raises(ConfigurationError, match=rf"{variable}|{section}\.{key}"):
        load_settings()


async def test_a_secret_stands_in_no_error(subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(V2TError) as raised:
        await subject.fail()
    told = [f"{error} {error!r} {error.args}" for error in errors_of(raised.value)]
    assert raised.value.message.isprintable()
    assert not [text for text in [*told, repr(subject.provider), caplog.text] if SECRET in text]
