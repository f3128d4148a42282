"""The workflows beside TranscribeFile, as a worker that does bookkeeping registers them."""

from __future__ import annotations

from v2t.workflows.apply_retention import ApplyRetention
from v2t.workflows.sweep_uploads import SweepUploads
from v2t.workflows.take_upload import TakeUpload
from v2t.workflows.transcribe_batch import TranscribeBatch
from v2t.workflows.transcribe_group import TranscribeGroup

WORKFLOWS: tuple[type, ...] = (
    TranscribeBatch,
    TranscribeGroup,
    TakeUpload,
    SweepUploads,
    ApplyRetention,
)
