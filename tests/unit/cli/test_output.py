from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from v2t.cli import output
from v2t.cli.output import Result, as_table, download_bar, printable, returns_result, say
from v2t.domain.errors import EngineCrashed, NotAudio, UnknownModel


def command(result: Result | Exception | KeyboardInterrupt) -> click.Command:
    @click.command("try")
    @returns_result
    def try_it() -> Result:
        if isinstance(result, BaseException):
            raise result
        return result

    return try_it


def test_text_comes_first_and_lines_after_it() -> None:
    run = CliRunner().invoke(command(Result(text="text\n", lines=["one", "two"])))
    assert (run.exit_code, run.stdout, run.stderr) == (0, "text\none\ntwo\n", "")


def test_the_first_error_gives_the_exit_code_and_each_has_its_line() -> None:
    run = CliRunner().invoke(command(Result(lines=["done"], errors=(NotAudio("a"), EngineCrashed("b")))))
    assert (run.exit_code, run.stdout, run.stderr) == (1, "done\n", "v2t: a\nv2t: b\n")


def test_an_error_that_is_raised_is_a_result_too() -> None:
    run = CliRunner().invoke(command(UnknownModel("no such model")))
    assert (run.exit_code, run.stdout, run.stderr) == (2, "", "v2t: no such model\n")


def test_an_interrupt_tells_how_to_go_on() -> None:
    run = CliRunner().invoke(command(KeyboardInterrupt()))
    assert (run.exit_code, run.stdout) == (130, "")
    assert run.stderr.startswith("v2t: interrupted")


def test_json_is_one_envelope_of_a_known_shape() -> None:
    run = CliRunner().invoke(command(Result(data={"name": "é\n"}, lines=["not this"], text="nor this")), ["--json"])
    assert json.loads(run.stdout) == {
        "schema": "v2t.result/1",
        "command": "",
        "status": "ok",
        "exit_code": 0,
        "data": {"name": "é\n"},
        "errors": [],
    }
    assert run.stdout.isascii()


@pytest.mark.parametrize("raised", [True, False])
def test_json_holds_errors_by_their_stable_code(raised: bool) -> None:
    error = NotAudio("a.wav is a text file")
    run = CliRunner().invoke(command(error if raised else Result(errors=(error,))), ["--json"])
    envelope = json.loads(run.stdout)
    assert (run.exit_code, run.stderr) == (1, "")
    assert (envelope["status"], envelope["exit_code"]) == ("failed", 1)
    assert envelope["errors"] == [{"code": "NotAudio", "message": "a.wav is a text file"}]


def test_the_envelope_names_the_command() -> None:
    @click.group()
    def v2t() -> None: ...

    v2t.add_command(command(Result()))
    envelope = json.loads(CliRunner().invoke(v2t, ["try", "--json"]).stdout)
    assert envelope["command"] == "try"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain “text” 日本", "plain “text” 日本"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("right\u202eleft", "right\\u202eleft"),
        ("broken \udcff", "broken \\udcff"),
    ],
)
def test_what_is_said_cannot_act_on_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).encode()


def test_everything_said_begins_with_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello\nworld")
    assert capsys.readouterr() == ("", "v2t: hello\\nworld\n")


def test_a_table_is_aligned_under_its_headings() -> None:
    assert as_table(("NAME", "X"), [("a", "1"), ("longer", "22")]) == ["NAME    X", "a       1", "longer  22"]
    assert as_table(("NAME", "X"), []) == ["NAME  X"]


def test_a_download_without_a_terminal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with download_bar("getting it") as report:
        report(1, 2)
    assert capsys.readouterr() == ("", "v2t: getting it\n")


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.is_terminal()
    monkeypatch.setenv("TERM", "dumb")
    assert not output.is_terminal()
