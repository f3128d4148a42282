"""Whisper on other machines, where a command is run over SSH."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar

from v2t.config.ssh_whisper import SshWhisperSettings
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ConfigurationError
from v2t.domain.jobs import DEFAULT_MODEL, Chunk, TranscribeOptions
from v2t.domain.ports import EngineResult, OnProgress
from v2t.providers.guard import Guard, HostAnswer
from v2t.providers.heard import make_result
from v2t.providers.ssh_connections import Connections, Opened, refused_by_all
from v2t.providers.ssh_examination import examine_host
from v2t.providers.ssh_login import find_host, open_connection
from v2t.providers.ssh_session import REMEDY, Session
from v2t.providers.trial import Step
from v2t.providers.whisper_command import Listener, build_command, model_file, parse_output

_THREADS_PER_REQUEST = 3
"""One works, one may cancel it, one may close what it used."""

_CANCEL_SECONDS = 1.8
"""How long the end of a cancelled command is waited for; then its connection is given up."""


class SshWhisper:
    """Transcriber on a whisper command of other machines.

    Args:
        settings: the section `ssh_whisper`.

    Raises:
        ConfigurationError: a host is not well formed.
    """

    name: ClassVar[str] = "ssh_whisper"

    def __init__(self, settings: SshWhisperSettings) -> None:
        self._settings = settings
        hosts = [find_host(text, settings) for text in settings.hosts]
        self._threads = ThreadPoolExecutor(
            _THREADS_PER_REQUEST * settings.requests_per_host * len(hosts) + 1, thread_name_prefix="ssh-whisper"
        )
        self._connections = Connections(
            hosts,
            lambda host: open_connection(host, settings),
            limit=settings.requests_per_host,
            threads=self._threads,
        )

    def guard_hosts(self, guard: Guard) -> None:
        """See ChoosesHosts."""
        self._connections.guard_hosts(guard)

    @property
    def capabilities(self) -> Capabilities:
        """See RemoteTranscriber.capabilities."""
        return Capabilities(
            translation=bool(self._settings.translate_arguments),
            streaming=True,
            dollars_per_minute=self._settings.dollars_per_minute,
        )

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """See Transcriber.transcribe."""
        self._check_hosts()
        model = model_file(self._settings, options.model)
        command = partial(build_command, self._settings, options, model=model)
        command(audio="", output="")  # refuses what it cannot do before anybody is asked
        loop = asyncio.get_running_loop()
        # it hears in another thread
        listener = Listener(lambda fraction: loop.call_soon_threadsafe(on_progress, fraction))
        limit = self._settings.timeout_seconds + self._settings.timeout_factor * chunk.speech_seconds
        async with self._connections.channel() as opened:
            started = time.monotonic()
            session = Session(opened.host, opened.connection, opened.channel, self._settings.folder, limit)
            running = self._threads.submit(session.transcribe, audio, command, model, listener.hear)
            content = await self._finish(session, running, opened)
            seconds = time.monotonic() - started
        segments, language, probability = parse_output(content, options, listener.language_probability, REMEDY)
        return make_result(chunk, segments, language, probability, seconds)

    async def check(self) -> str:
        """See RemoteTranscriber.check."""
        return self.sum_up(await self.survey())

    async def survey(self, limit_seconds: float | None = None) -> Sequence[HostAnswer]:
        """See ChoosesHosts."""
        self._check_hosts()
        return await self._connections.survey(limit_seconds)

    def sum_up(self, answers: Sequence[HostAnswer]) -> str:
        """See ChoosesHosts."""
        refusals = [answer.error for answer in answers if answer.error]
        if len(refusals) == len(answers):
            raise refused_by_all(refusals)
        well = len(answers) - len(refusals)
        said = f"{well} of {len(answers)} hosts answer" if len(answers) > 1 else "answers"
        return "; ".join([said, *(error.message for error in refusals)])

    async def examine(self, host: str, model: str = DEFAULT_MODEL) -> AsyncIterator[Step]:
        """See step by step whether a host can be used; ends at the first step that fails.

        Args:
            host: one of the section, or another, as HOST or user@HOST:PORT.
            model: the model to look for there, and to use.

        Raises:
            ConfigurationError: that is no host.
        """
        steps = examine_host(find_host(host, self._settings), self._settings, model)
        loop = asyncio.get_running_loop()
        try:
            while step := await loop.run_in_executor(self._threads, next, steps, None):
                yield step
        finally:
            self._threads.submit(steps.close)

    async def close(self) -> None:
        """See RemoteTranscriber.close.

        The threads end with this object: what still runs may need them to come to its end.
        """
        await self._connections.close()

    def _check_hosts(self) -> None:
        if not self._settings.hosts:
            raise ConfigurationError("ssh_whisper.hosts is not set; set it to the machines that run Whisper")

    async def _finish(self, session: Session, running: Future[bytes], opened: Opened) -> bytes:
        """Wait for a session; when cancelled, until all has ended there, or its connection is given up."""
        try:
            return await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            self._threads.submit(session.cancel)
            ended = asyncio.wrap_future(running)
            ended.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks how it ended
            try:
                await asyncio.wait({ended}, timeout=_CANCEL_SECONDS)
            finally:
                if not running.done():
                    self._connections.drop(opened.connection)
            raise
