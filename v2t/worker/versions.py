"""Worker versions as Temporal keeps them: which build the workflows run on."""

from __future__ import annotations

import asyncio

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
_NOT_YET = (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION)
"""A version is known from its first worker's first poll."""


async def make_current(client: Client, build_id: str) -> None:
    """Have new and running workflows go on with this build; done twice it is done once.

    Raises:
        ConfigurationError: no worker of this build has come within half a minute.
        ClusterUnreachable: Temporal does not answer.
    """
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.temporal.namespace,
        deployment_name=DEPLOYMENT,
        build_id=build_id,
        identity=client.temporal.identity,
        ignore_missing_task_queues=True,
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                try:
                    await client.temporal.workflow_service.set_worker_deployment_current_version(request)
                except RPCError as error:
                    if error.status not in _NOT_YET:
                        raise ClusterUnreachable(
                            f"Temporal does not make {build_id} current: {error.message}"
                        ) from error
                    await asyncio.sleep(_POLL_SECONDS)
                else:
                    return
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
    request = DescribeWorkerDeploymentRequest(namespace=client.temporal.namespace, deployment_name=DEPLOYMENT)
    try:
        answer = await client.temporal.workflow_service.describe_worker_deployment(request)
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return ""
        raise ClusterUnreachable(f"The Temporal server failed: {error.message}") from error
    routing = answer.worker_deployment_info.routing_config
    return routing.current_deployment_version.build_id
