"""The real command falls through providers that are dead or dying, and says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.command import Command
from support.speech_apis import plain_answer
from support.speech_servers import SpeechServer, Spoken, says, serve_speech

from v2t.process.ports import free_port

SETTINGS = """
[whisper_server]
url = "http://127.0.0.1:{dead}"

[custom_http]
url = "{dying}/"
allowed_hosts = "127.0.0.1"

[selection]
chain = ["whisper_server", "custom_http", "local"]
default_rules = false
"""


async def test_a_file_falls_through_a_dead_and_a_dying_provider_to_the_engine_here(v2t: Command, samples: Path) -> None:
    server = SpeechServer(plain_answer, misbehaviours=[says(500, {"error": "out of order"})] * 9)
    async with serve_speech(server):
        (v2t.folder / "v2t.toml").write_text(SETTINGS.format(dead=free_port(), dying=server.address))
        outcome = await asyncio.to_thread(v2t.run, "transcribe", samples / "jfk.wav", "--model", "tiny.en", "--json")

    assert outcome.exit_code == 0, outcome.stderr
    transcript = outcome.json["data"]["files"][0]["transcript"]
    assert "ask not what your country can do for you" in transcript["text"]
    assert transcript["provider"] == "faster_whisper"
    dead, dying = transcript["warnings"]
    assert dead.startswith("whisper_server: whisper_server does not answer")
    assert dying.startswith("custom_http: ")
    assert "out of order" in dying
    assert len(server.seen) == 3, "a failure that may pass is tried three times"


def test_where_all_fail_each_is_named_with_its_reason(v2t: Command, samples: Path) -> None:
    chain = SETTINGS.format(dead=free_port(), dying="http://10.0.0.1").replace(', "local"]', "]")
    refused = chain.replace('allowed_hosts = "127.0.0.1"', "")
    (v2t.folder / "v2t.toml").write_text(refused)

    outcome = v2t.run("transcribe", samples / "jfk.wav", "--model", "tiny.en")

    assert outcome.exit_code == 4
    assert "every provider failed. whisper_server: " in outcome.complaint
    assert "; custom_http: " in outcome.complaint


def test_who_would_cost_more_than_a_file_may_is_not_asked(v2t: Command, samples: Path) -> None:
    priced = SETTINGS.format(dead=free_port(), dying="http://10.0.0.1").replace("[custom_http]", "{price}[custom_http]")
    (v2t.folder / "v2t.toml").write_text(priced.format(price="dollars_per_minute = 60\n\n"))

    outcome = v2t.run("transcribe", samples / "jfk.wav", "--model", "tiny.en", "--max-cost", "0.5", "--json")

    assert outcome.exit_code == 0, outcome.stderr
    warnings = outcome.json["data"]["files"][0]["transcript"]["warnings"]
    assert [warning.partition(":")[0] for warning in warnings] == ["custom_http"], "which costs nothing, and is refused"


LANGUAGES = """
[custom_http]
url = "{server}/"
allowed_hosts = "127.0.0.1"

[selection]
chain = ["local"]
default_rules = false
detect_language = true

[[selection.rules]]
name = "English goes elsewhere"
provider = "custom_http"
languages = ["English"]
tags = ["speech"]
"""


@pytest.mark.servers
async def test_a_language_that_nobody_gave_is_heard_where_a_rule_asks_for_it(v2t: Command, samples: Path) -> None:
    server = SpeechServer(plain_answer, words=[Spoken("Hello.", 0.0, 1.0)])
    async with serve_speech(server):
        (v2t.folder / "v2t.toml").write_text(LANGUAGES.format(server=server.address))
        asked = ("transcribe", samples / "jfk.wav", "--model", "base", "--json")
        heard = await asyncio.to_thread(v2t.run, *asked, "--tag", "speech")
        shown = await asyncio.to_thread(v2t.run, "jobs", "list", "--json")
        others = await asyncio.to_thread(v2t.run, *asked, "--prompt", "another job", "--language", "en")

    assert heard.exit_code == 0, heard.stderr
    assert heard.json["data"]["files"][0]["transcript"]["provider"] == "custom_http"
    assert len(server.seen) == 1
    assert [job["tags"] for job in shown.json["data"]["jobs"]] == [["speech"]]
    assert others.json["data"]["files"][0]["transcript"]["provider"] == "faster_whisper", "it has no tag"
