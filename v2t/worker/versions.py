"""Worker versions as Temporal keeps them: which build the workflows run on."""

from __future__ import annotations

import asyncio

from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import RoutingConfigUpdateState
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from v2t.client import Client
from v2t.domain.errors import ClusterUnreachable, ConfigurationError
from v2t.worker.runtime import DEPLOYMENT

_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.2


async def make_current(client: Client, build_id: str) -> None:
    """Have new and running workflows go on with this build; done twice it is done once.

    When this returns every queue knows.

    Raises:
        ConfigurationError: no worker of this build has come within half a minute.
        ClusterUnreachable: Temporal does not answer.
    """
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await _set_current(client, build_id):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(_POLL_SECONDS)
            while await _is_spreading(client):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise ConfigurationError(
            f"no worker with build id {build_id} polls; start one with worker.versioned and worker.build_id"
        ) from None


async def make_first_current(client: Client, build_id: str) -> None:
    """As `make_current`, for the first worker of a cluster: where a version is current already, it stays."""
    if not await current_version(client):
        await make_current(client, build_id)


async def current_version(client: Client) -> str:
    """The build id that workflows run on; empty where none was ever made current. Raises ClusterUnreachable."""
    info = await _describe(client)
    return info.routing_config.current_deployment_version.build_id if info else ""


async def _set_current(client: Client, build_id: str) -> bool:
    """False while the server does not know the version, which its first worker's first poll changes."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.temporal.namespace,
        deployment_name=DEPLOYMENT,
        build_id=build_id,
        identity=client.temporal.identity,
        ignore_missing_task_queues=True,
    )
    try:
        await client.temporal.workflow_service.set_worker_deployment_current_version(request, retry=True)
    except RPCError as error:
        if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION}:
            return False
        raise ClusterUnreachable(f"Temporal does not make {build_id} current: {error.message}") from error
    return True


async def _is_spreading(client: Client) -> bool:
    """Whether queues still route by what was current before."""
    info = await _describe(client)
    spreading = RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_IN_PROGRESS
    return info is not None and info.routing_config_update_state == spreading


async def _describe(client: Client) -> WorkerDeploymentInfo | None:
    request = DescribeWorkerDeploymentRequest(namespace=client.temporal.namespace, deployment_name=DEPLOYMENT)
    try:
        answer = await client.temporal.workflow_service.describe_worker_deployment(request, retry=True)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return None
        raise ClusterUnreachable(f"The Temporal server failed: {error.message}") from error
    return answer.worker_deployment_info
