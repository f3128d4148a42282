"""The namespace of a cluster's jobs, and the search attributes it must know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest, RegisterNamespaceRequest
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError, RPCStatusCode

from v2t.client.connection import as_v2t_error
from v2t.domain.search import SEARCH_ATTRIBUTES, USER

_KNOWN_SECONDS = 30.0
_RETRY_SECONDS = 0.2
"""The services of a server read the list of namespaces now and then: a new one is not known everywhere at once."""

_NOT_YET = frozenset({RPCStatusCode.NOT_FOUND, RPCStatusCode.UNAVAILABLE, RPCStatusCode.FAILED_PRECONDITION})


async def prepare_namespace(temporal: TemporalClient, retention_days: int) -> None:
    """Make what is missing. Raises ClusterUnreachable."""
    try:
        await _register(temporal, retention_days)
        await _add_attributes(temporal)
        await _until_usable(temporal)
    except RPCError as error:
        raise as_v2t_error(error) from error


async def _register(temporal: TemporalClient, retention_days: int) -> None:
    request = RegisterNamespaceRequest(namespace=temporal.namespace, description="Jobs of v2t")
    request.workflow_execution_retention_period.FromTimedelta(timedelta(days=retention_days))
    try:
        await temporal.workflow_service.register_namespace(request)
    except RPCError as error:
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            raise


async def _add_attributes(temporal: TemporalClient) -> None:
    """Add what is missing, and return when the server knows it."""

    async def add() -> bool:
        missing = await _missing(temporal)
        if missing:
            await temporal.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=temporal.namespace, search_attributes=missing)
            )
        return not missing

    await _until(add, RPCStatusCode.ALREADY_EXISTS)  # somebody else adds them at the same time


async def _until_usable(temporal: TemporalClient) -> None:
    """Return when a job may start with the attributes: the list of them is read elsewhere than what checks them."""
    question = CountWorkflowExecutionsRequest(namespace=temporal.namespace, query=f"{USER} = 'nobody'")

    async def look() -> bool:
        await temporal.workflow_service.count_workflow_executions(question)
        return True

    await _until(look, RPCStatusCode.INVALID_ARGUMENT)


async def _until(step: Callable[[], Awaitable[bool]], passing: RPCStatusCode) -> None:
    """Take the step until it says that it is done; refusals that pass by themselves, `passing` among them, pass."""
    deadline = time.monotonic() + _KNOWN_SECONDS
    while True:
        try:
            if await step():
                return
        except RPCError as error:
            if error.status not in _NOT_YET | {passing} or time.monotonic() > deadline:
                raise
        await asyncio.sleep(_RETRY_SECONDS)


async def _missing(temporal: TemporalClient) -> dict[str, IndexedValueType.ValueType]:
    request = ListSearchAttributesRequest(namespace=temporal.namespace)
    known = (await temporal.operator_service.list_search_attributes(request)).custom_attributes
    return {
        name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
        for name, kind in SEARCH_ATTRIBUTES.items()
        if name not in known
    }
