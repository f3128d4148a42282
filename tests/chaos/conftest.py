from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pipeline import Pipeline
from support.servers import running_servers


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory, models_folder: Path, samples: Path) -> Iterator[Pipeline]:
    """Real servers of this run's own, prepared, with recordings and what an undisturbed run makes of them."""
    with running_servers() as servers:
        pipeline = Pipeline(servers, tmp_path_factory.mktemp("pipeline"), models_folder, samples)
        pipeline.prepare()
        yield pipeline
        pipeline.close()


@pytest.fixture(autouse=True)
def _healed(pipeline: Pipeline) -> Iterator[None]:
    """Every test starts with all servers up and nothing transcribed."""
    pipeline.servers.heal()
    pipeline.forget_everything()
    yield
    pipeline.servers.heal()
