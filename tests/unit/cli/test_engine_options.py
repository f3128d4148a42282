from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from v2t.cli.batch import command as batch
from v2t.cli.transcribe import command as transcribe
from v2t.cli.watch import command as watch


@pytest.mark.parametrize("command", [transcribe, batch, watch], ids=["transcribe", "batch", "watch"])
def test_what_is_no_tag_is_refused_before_any_work(command: click.Command) -> None:
    outcome = CliRunner().invoke(command, ["none.wav", "--tag", "court", "--tag", "Two Words"])
    assert outcome.exit_code == 2
    assert "Invalid value for '--tag': 'Two Words' is no tag; a tag is a word" in outcome.stderr
