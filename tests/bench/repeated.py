"""Ask for a transcript that is stored; print the seconds from here to the text, imports left out.

usage: repeated.py FILE ENGINE MODEL
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from v2t.cli.destination import Destination
from v2t.config import load_settings
from v2t.domain.jobs import TranscribeOptions
from v2t.domain.subtitles import SubtitleLimits
from v2t.submission import Submission, find_stored, identify
from v2t.wiring import open_store


def main() -> None:
    path, options = Path(sys.argv[1]), TranscribeOptions(sys.argv[2], sys.argv[3])
    open_store(load_settings()).exists("t-none/transcript.json")  # imports the object store's library
    started = time.monotonic()
    settings = load_settings()
    submission = Submission(path, identify(path, options, "bench"))
    find_stored(settings, [submission])
    assert submission.transcript, "it was not stored"
    text = Destination.parse("txt", None, beside=False, files=()).text(submission.transcript, SubtitleLimits())
    seconds = time.monotonic() - started
    assert text
    print(seconds)


if __name__ == "__main__":
    main()
