"""`v2t batch`: many files at once, with one report."""

from __future__ import annotations

from pathlib import Path

import click

from v2t.cli.engine_options import engine_options, format_option
from v2t.cli.output import Result, returns_result
from v2t.domain.errors import UsageError


@click.command("batch")
@click.argument("sources", nargs=-1, required=True, metavar="DIR|GLOB|FILE|s3://BUCKET/PREFIX...")
@click.option("-r", "--recursive", is_flag=True, help="Search folders below DIR too.")
@click.option("--skip-existing", is_flag=True, help="Leave out files whose output files are there already.")
@format_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write transcripts into this folder, in the folders of their sources.",
)
@click.option("--beside", is_flag=True, help="Write transcripts next to each file.")
@engine_options
@click.option("--no-wait", is_flag=True, help="Return when the batch is accepted; `v2t batches watch` follows it.")
@click.option("-q", "--quiet", is_flag=True, help="Print the report and errors only.")
@returns_result
def command(
    sources: tuple[str, ...],
    recursive: bool,
    skip_existing: bool,
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
    no_wait: bool,
    quiet: bool,
) -> Result:
    """Transcribe many files as one batch, and report on all of them.

    Audio and video files are known by their ending; others are left alone. One bad file never sinks the batch.
    Running the same command again joins the batch, or works on those of its files that have no transcript.
    Ctrl-C stops the waiting and not the batch; `v2t batches` lists, follows and cancels batches.
    Without --output or --beside the transcripts stay in the store, for `v2t jobs result`.

    \b
    Examples:
      v2t batch interviews/ --recursive --output transcripts/
      v2t batch 'calls/2026-*/*.mp3' --beside --format srt --skip-existing
      v2t batch s3://v2t-audio/incoming/ada/ --output transcripts/ --no-wait
    """
    from v2t.cli.batch_run import Batch
    from v2t.cli.outputs import Outputs
    from v2t.cli.transcribe import limits_of, parse_options, user_of
    from v2t.gathering.batch import Plan

    outputs = Outputs(formats, output, beside=beside)
    if no_wait and outputs.are_wanted:
        raise UsageError("--no-wait writes no files; leave out --output and --beside.")
    if skip_existing and not outputs.are_wanted:
        raise UsageError("--skip-existing needs --output FOLDER or --beside.")
    settings, options = parse_options(provider, model, language, prompt, translate=translate)
    plan = Plan(options, user_of(settings), priority, tags)
    batch = Batch(settings, plan, outputs, limits_of(settings, None, None), wait=not no_wait, quiet=quiet)
    found = batch.find(sources, recursive=recursive, skip_existing=skip_existing)
    return batch.run(found)
