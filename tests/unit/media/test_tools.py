from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from v2t.domain.errors import NotAudio
from v2t.domain.jobs import AudioRef, Chunk, CutRequest, Piece
from v2t.domain.ports import AudioTools
from v2t.media.tools import ConfinedAudioTools

SAMPLE = Path(__file__).parents[3] / "samples" / "jfk.wav"
REQUEST = CutRequest(AudioRef("0" * 64, SAMPLE.stat().st_size, "jfk.wav"), "t-1", first_index=7)


class InProcess:
    """Runs the job here, but over JSON as the pipe does."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    async def run(
        self,
        job: str,
        payload: dict[str, Any],
        on_event: Callable[[dict[str, Any]], None],
        *,
        stall_seconds: float,
        limit_bytes: int,
    ) -> dict[str, Any]:
        assert stall_seconds > 0
        assert limit_bytes > 0
        self.jobs.append(job)
        module, _, function = job.partition(":")
        result = getattr(importlib.import_module(module), function)(json.loads(json.dumps(payload)), on_event)
        answer: dict[str, Any] = json.loads(json.dumps(result))
        return answer


async def test_a_cut_comes_back_as_the_domain_knows_it(tmp_path: Path) -> None:
    pool = InProcess()
    tools: AudioTools = ConfinedAudioTools(pool)
    progress: list[float] = []
    cut = await tools.cut(SAMPLE, REQUEST, tmp_path, progress.append)
    assert pool.jobs == ["v2t.media.cutting:cut_window"]
    assert cut.chunks == (Chunk(7, "t-1/chunks/00007.wav", (Piece(0.0, 11.0),)),)
    assert (cut.silences, cut.finished, cut.next_start, cut.duration_seconds) == ((), True, 11.0, 11.0)
    assert progress == [1.0]
    assert (tmp_path / "7.wav").stat().st_size == 44 + 2 * 176_000


async def test_engines_are_counted_for_the_first_window_and_the_others_are_cut_for_as_many(tmp_path: Path) -> None:
    counted: list[int] = []

    async def count() -> int:
        counted.append(len(counted) + 3)
        return counted[-1]

    tools = ConfinedAudioTools(InProcess(), count)
    first = await tools.cut(SAMPLE, REQUEST, tmp_path, lambda _: None)
    later = await tools.cut(SAMPLE, replace(REQUEST, engines=first.engines), tmp_path, lambda _: None)
    assert (first.engines, later.engines, counted) == (3, 3, [3])


async def test_a_refused_file_raises_in_the_parent(tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    source.write_text("no audio\n" * 100)
    with pytest.raises(NotAudio):
        await ConfinedAudioTools(InProcess()).cut(source, REQUEST, tmp_path, lambda _: None)


async def test_a_warm_up_needs_no_file() -> None:
    pool = InProcess()
    await ConfinedAudioTools(pool).warm_up()
    assert pool.jobs == ["v2t.media.cutting:warm_up"]


def test_the_parent_loads_no_decoder() -> None:
    code = "import sys, v2t.media.tools; print({'av', 'numpy', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "set()"
