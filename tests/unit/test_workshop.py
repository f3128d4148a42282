from __future__ import annotations

from typing import Any, cast

from v2t.config import Settings
from v2t.workshop import Workshop


def test_an_engine_computes_on_what_was_found_for_it_and_others_on_the_processor() -> None:
    nothing = cast("Any", None)
    workshop = Workshop(Settings(), nothing, nothing, {"faster_whisper": "cuda"})
    told = {name: workshop.open_transcriber(name)._acceleration for name in ("faster_whisper", "whisper_cpp")}
    assert told == {"faster_whisper": "cuda", "whisper_cpp": "cpu"}
