"""The Temporal server on PostgreSQL: schemas, configuration, namespace and search attributes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from support.servers.layout import HOST, NAMESPACE, Layout, write_secret
from support.servers.programs import Programs

if TYPE_CHECKING:
    from temporalio.client import Client

_SCHEMAS = {"temporal": "postgresql/v12/temporal", "temporal_visibility": "postgresql/v12/visibility"}
_SERVICES = ("frontend", "history", "matching", "worker")

_RETENTION_DAYS = 7

_DYNAMIC: dict[str, Any] = {
    "matching.useNewMatcher": True,
    "matching.enableFairness": True,
    # users take turns, and priorities hold, within a partition
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    # a namespace that a test makes is there at once
    "system.namespaceCacheRefreshInterval": "200ms",
}


def schema_commands(layout: Layout, programs: Programs) -> dict[str, list[list[str]]]:
    """The SQL tool's calls, in their order, by database."""
    connection = (f"--endpoint={HOST}", f"--port={layout.postgresql_port}", "--user=temporal", "--plugin=postgres12")
    tool = str(programs.temporal_sql_tool)
    return {
        database: [
            [tool, *connection, f"--database={database}", "setup-schema", "--version=0.0"],
            [tool, *connection, f"--database={database}", "update-schema", f"--schema-name={schema}"],
        ]
        for database, schema in _SCHEMAS.items()
    }


def schema_environment(layout: Layout) -> dict[str, str]:
    return {"SQL_PASSWORD": layout.temporal_password}


def server_command(layout: Layout, programs: Programs) -> list[str]:
    return [
        str(programs.temporal),
        f"--config-file={layout.folder / 'temporal.yaml'}",
        "--allow-no-auth",
        "start",
    ]


def prepare(layout: Layout) -> None:
    """Write the configuration; YAML is a superset of JSON."""
    write_secret(layout.folder / "temporal.yaml", json.dumps(_configuration(layout), indent=1))
    dynamic = {key: [{"value": value}] for key, value in _DYNAMIC.items()}
    write_secret(layout.folder / "temporal-dynamic.yaml", json.dumps(dynamic, indent=1))


def is_ready(layout: Layout) -> bool:
    """Whether all its services answer for the namespace."""
    return bool(_in_a_loop(_answers, layout))


def is_listening(layout: Layout) -> bool:
    """Whether the frontend answers, as it does before the namespace is there."""
    return bool(_in_a_loop(_is_healthy, layout))


def set_up(layout: Layout) -> None:
    """Make the namespace and its search attributes, if they are not there."""
    _in_a_loop(_make_namespace, layout)


def _in_a_loop(function: Any, layout: Layout) -> Any:
    """Run a coroutine function to its end, also where a loop runs already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(function(layout))).result()


async def _connect(layout: Layout) -> Client:
    from temporalio.client import Client

    return await Client.connect(layout.temporal_address, namespace=NAMESPACE, lazy=True)


async def _is_healthy(layout: Layout) -> bool:
    from temporalio.service import RPCError

    client = await _connect(layout)
    try:
        return await client.service_client.check_health(timeout=timedelta(seconds=2))
    except (RPCError, RuntimeError):
        return False


async def _answers(layout: Layout) -> bool:
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
    from temporalio.service import RPCError, RPCStatusCode

    client = await _connect(layout)
    patience = timedelta(seconds=2)
    queue = DescribeTaskQueueRequest(
        namespace=NAMESPACE,
        task_queue=TaskQueue(name="readiness"),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        await client.workflow_service.describe_task_queue(queue, timeout=patience)
    except (RPCError, RuntimeError):
        return False
    try:
        await client.get_workflow_handle("readiness").describe(rpc_timeout=patience)
    except RPCError as error:
        return error.status == RPCStatusCode.NOT_FOUND  # which a shard of the history service has answered
    return True


async def _make_namespace(layout: Layout) -> None:
    from v2t.client.namespace import prepare_namespace

    await prepare_namespace(await _connect(layout), _RETENTION_DAYS)


def _configuration(layout: Layout) -> dict[str, Any]:
    calls, memberships = layout.temporal_ports[:4], layout.temporal_ports[4:]
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "numHistoryShards": 4,
            "datastores": {
                "default": _datastore(layout, "temporal", connections=20),
                "visibility": _datastore(layout, "temporal_visibility", connections=5),
            },
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": HOST}},
        "services": _services(calls, memberships),
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": layout.temporal_address,
                }
            },
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "dynamicConfigClient": {"filepath": str(layout.folder / "temporal-dynamic.yaml"), "pollInterval": "10s"},
    }


def _services(calls: Sequence[int], memberships: Sequence[int]) -> dict[str, Any]:
    return {
        name: {"rpc": {"grpcPort": call, "membershipPort": membership, "bindOnLocalHost": True}}
        for name, call, membership in zip(_SERVICES, calls, memberships, strict=True)
    }


def _datastore(layout: Layout, database: str, connections: int) -> dict[str, Any]:
    return {
        "sql": {
            "pluginName": "postgres12",
            "databaseName": database,
            "connectAddr": f"{HOST}:{layout.postgresql_port}",
            "connectProtocol": "tcp",
            "user": "temporal",
            "password": layout.temporal_password,
            "maxConns": connections,
            "maxIdleConns": connections,
            "maxConnLifetime": "1h",
        }
    }
