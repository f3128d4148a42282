from __future__ import annotations

import pytest
from temporalio import workflow
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from v2t.workflows.transcribe_file import TranscribeFile

_Policy = workflow.SandboxImportNotificationPolicy


@pytest.mark.parametrize("defined", [TranscribeFile])
async def test_a_workflow_imports_nothing_into_its_sandbox_by_mistake(defined: type) -> None:
    policy = _Policy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH | _Policy.WARN_ON_DYNAMIC_IMPORT
    restrictions = SandboxRestrictions.default.with_import_notification_policy(policy)
    definition = workflow._Definition.must_from_class(defined)
    SandboxedWorkflowRunner(restrictions=restrictions).prepare_workflow(definition)
