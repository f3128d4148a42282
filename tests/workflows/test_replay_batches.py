from __future__ import annotations

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from v2t.workflows.catalogue import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "batch_histories").glob("*.json"))

_Policy = workflow.SandboxImportNotificationPolicy


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_what_an_earlier_version_began_goes_on(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())  # noqa: ASYNC240 - a small file
    await Replayer(workflows=WORKFLOWS).replay_workflow(history)


def test_there_is_a_history_of_every_workflow() -> None:
    stems = {path.stem for path in HISTORIES}
    assert stems >= {
        "batch_cancelled",
        "batch_continued",
        "batch_with_failures",
        "group_cancelled",
        "group_followed",
        "group_lingering",
        "group_of_uploads",
        "group_with_failures",
        "retention",
        "sweep",
        "sweep_continued",
        "take_upload",
        "take_upload_again",
    }


@pytest.mark.parametrize("defined", WORKFLOWS)
async def test_a_workflow_imports_nothing_into_its_sandbox_by_mistake(defined: type) -> None:
    policy = _Policy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH | _Policy.WARN_ON_DYNAMIC_IMPORT
    restrictions = SandboxRestrictions.default.with_import_notification_policy(policy)
    definition = workflow._Definition.must_from_class(defined)
    SandboxedWorkflowRunner(restrictions=restrictions).prepare_workflow(definition)
