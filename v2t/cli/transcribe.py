"""`v2t transcribe`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from v2t.cli.engine_options import engine_options, format_option
from v2t.cli.interruption import run_interruptible
from v2t.cli.output import Result, download_bar, returns_result, say
from v2t.domain.errors import UsageError, V2TError

if TYPE_CHECKING:
    from v2t.cli.destination import Destination
    from v2t.config import Settings
    from v2t.domain.jobs import TranscribeOptions
    from v2t.domain.subtitles import SubtitleLimits
    from v2t.submission import Submission


@click.command("transcribe")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False), metavar="FILE...")
@format_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write files into this folder instead of printing.",
)
@click.option("--beside", is_flag=True, help="Write files next to each FILE instead of printing.")
@engine_options
@click.option(
    "--max-cost", type=click.FloatRange(min=0, min_open=True), help="US dollars a file may cost; more is not asked for."
)
@click.option("--max-line-width", type=click.IntRange(min=1), help="Characters in a subtitle line.")
@click.option("--max-lines", type=click.IntRange(min=1), help="Lines in a subtitle.")
@click.option("--skip-existing", is_flag=True, help="Leave out FILEs whose output files are there already.")
@click.option("--fresh", is_flag=True, help="Transcribe again even what is stored.")
@click.option("--no-wait", is_flag=True, help="Return when the jobs are accepted; the cluster is kept up for them.")
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
@returns_result
def command(
    files: tuple[Path, ...],
    formats: str,
    output: Path | None,
    beside: bool,
    provider: str,
    model: str,
    language: str,
    translate: bool,
    prompt: str,
    priority: int,
    tags: tuple[str, ...],
    max_cost: float | None,
    max_line_width: int | None,
    max_lines: int | None,
    skip_existing: bool,
    fresh: bool,
    no_wait: bool,
    quiet: bool,
) -> Result:
    """Turn audio or video FILEs into text.

    The text goes to stdout, or with --output or --beside into files. Running the same command again joins the
    job that runs, or returns the stored result at once.

    \b
    Examples:
      v2t transcribe interview.mp3
      v2t transcribe lecture.mp4 --format srt,txt --output transcripts/
      v2t transcribe *.ogg --beside --skip-existing
      v2t transcribe rede.wav --language German --translate
    """
    from v2t.cli.destination import Destination

    destination = Destination.parse(formats, output, beside=beside, files=files)
    if skip_existing:
        files = destination.without_existing(files, quiet=quiet)
    settings, options = parse_options(provider, model, language, prompt, translate=translate)
    submissions = _identify(files, options, user_of(settings), priority)
    for submission in submissions:
        if submission.request:
            submission.request = replace(submission.request, max_dollars=max_cost or 0.0, tags=tags)
    _transcribe(settings, submissions, fresh=fresh, wait=not no_wait, quiet=quiet)
    limits = limits_of(settings, max_line_width, max_lines)
    return _result(submissions, destination, limits, wait=not no_wait, quiet=quiet)


def parse_options(
    provider: str, model: str, language: str, prompt: str, *, translate: bool
) -> tuple[Settings, TranscribeOptions]:
    """Check what was asked before any work is done for it.

    On a cluster the engine and the model are the workers': their presence on this machine says nothing.
    """
    from v2t import wiring
    from v2t.config import load_settings
    from v2t.domain.jobs import AUTO, LOCAL, TranscribeOptions
    from v2t.domain.languages import parse_language
    from v2t.planning import is_choice
    from v2t.providers.table import REMOTE_PROVIDERS, check_name
    from v2t.weights.catalogue import find_model

    settings = load_settings()
    check_name(provider)
    if provider == AUTO and not is_choice(settings):
        provider = LOCAL  # by the name that its jobs have had on such a machine all along
    code = parse_language(language)
    if provider in REMOTE_PROVIDERS:  # its models are its own
        own_model = getattr(getattr(settings, provider), "model", "")
        asked = model or own_model or settings.models.default
        return settings, TranscribeOptions(provider, asked, code, translate, prompt)
    model_format = "" if settings.is_cluster else wiring.open_engines(settings).resolve(provider).model_format
    facts = find_model(model or settings.models.default, model_format)
    if facts.is_english_only and (translate or code not in {"", "en"}):
        raise UsageError(f"The model {facts.name} knows only English; take {facts.name.removesuffix('.en')} instead.")
    if facts.is_english_only:
        code = "en"
    return settings, TranscribeOptions(provider, facts.name, code, translate, prompt)


def user_of(settings: Settings) -> str:
    """Whom the jobs belong to: on a cluster, who is logged in here."""
    from v2t.domain.jobs import DEFAULT_USER

    if not settings.is_cluster:
        return DEFAULT_USER
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return DEFAULT_USER


def _identify(files: tuple[Path, ...], options: TranscribeOptions, user: str, priority: int) -> list[Submission]:
    from v2t.submission import Submission, identify

    submissions = []
    for file in files:
        submission = Submission(file)
        try:
            submission.request = identify(file, options, user, priority)
        except V2TError as error:
            submission.error = error
        submissions.append(submission)
    return submissions


def _transcribe(settings: Settings, submissions: list[Submission], *, fresh: bool, wait: bool, quiet: bool) -> None:
    from v2t.cli.progress import open_display
    from v2t.submission import find_stored, submit_files

    if not fresh:
        find_stored(settings, submissions)
    waiting = [submission for submission in submissions if submission.is_open and submission.request]
    if not waiting or waiting[0].request is None:
        return
    options = waiting[0].request.options
    engine = options.provider if settings.is_cluster else prepare_embedded(settings, options, keep=not wait)
    with open_display(waiting, engine=f"{engine}, model {options.model}", quiet=quiet) as display:
        run_interruptible(
            submit_files(
                settings,
                waiting,
                wait=wait,
                again=fresh,
                on_open=display.opened,
                on_view=None if quiet else display.update,
            )
        )


def prepare_embedded(settings: Settings, options: TranscribeOptions, *, keep: bool) -> str:
    """Get the model now, where its progress can be seen, and not within the first job.

    Args:
        settings: of the embedded cluster.
        options: whose engine and model it will need.
        keep: leave the embedded cluster running for jobs that nobody waits for.

    Returns:
        The name of the engine that will compute.
    """
    from v2t import standalone
    from v2t.providers.table import REMOTE_PROVIDERS

    standalone.prepare_folder(settings.standalone.folder)
    is_remote = options.provider in REMOTE_PROVIDERS
    engine = options.provider if is_remote else _prepare_engine(settings, options)
    if keep:
        from v2t.cli.service import keep_up

        keep_up(settings)
    return engine


def _prepare_engine(settings: Settings, options: TranscribeOptions) -> str:
    from v2t import standalone, wiring

    provider = wiring.open_engines(settings).resolve(options.provider)
    models = wiring.open_models(settings)
    if models.model_path(options.model, provider.model_format) is None:
        standalone.prepare_folder(settings.models.folder)
        with download_bar(f"getting the model {options.model} for the first time") as report:
            models.ensure(options.model, provider.model_format, report)
    return provider.name


def limits_of(settings: Settings, max_line_width: int | None, max_lines: int | None) -> SubtitleLimits:
    """The limits of subtitles: the settings', or what flags say."""
    from v2t.domain.subtitles import SubtitleLimits

    chosen = settings.output.model_dump()
    if max_line_width:
        chosen["max_line_width"] = max_line_width
    if max_lines:
        chosen["max_lines"] = max_lines
    return SubtitleLimits(**chosen)


def _result(
    submissions: list[Submission], destination: Destination, limits: SubtitleLimits, *, wait: bool, quiet: bool
) -> Result:
    """Print or write what came out, and say what did not."""
    texts, data, lines = [], [], []
    for submission in submissions:
        written: list[Path] = []
        transcript = submission.transcript
        if transcript:
            try:
                if destination.is_stdout:
                    texts.append(destination.text(transcript, limits))
                else:
                    written = destination.write(submission.path, transcript, limits)
            except V2TError as error:
                submission.error = error
            if not quiet:
                _say_outcome(submission, written)
        elif not wait and submission.request and not submission.error:
            lines.append(submission.request.job_id)
        data.append(_as_data(submission, written))
    errors = tuple(submission.error for submission in submissions if submission.error)
    return Result(data={"files": data}, text="".join(texts), lines=lines, errors=errors)


def _say_outcome(submission: Submission, written: list[Path]) -> None:
    transcript = submission.transcript
    assert transcript is not None
    for warning in transcript.warnings:
        say(f"{submission.path}: {warning}")
    for path in written:
        say(f"{submission.path}: wrote {path}")


def _as_data(submission: Submission, written: list[Path]) -> dict[str, Any]:
    from v2t.domain.transcript import to_document

    return {
        "file": str(submission.path),
        "job_id": submission.request.job_id if submission.request else None,
        "stored": submission.stored,
        "written": [str(path) for path in written],
        "transcript": to_document(submission.transcript) if submission.transcript and not written else None,
        "error": {"code": submission.error.code, "message": submission.error.message} if submission.error else None,
    }
