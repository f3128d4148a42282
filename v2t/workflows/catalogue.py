"""Every workflow, as a worker must register them."""

from __future__ import annotations

from v2t.workflows.apply_retention import ApplyRetention
from v2t.workflows.sweep_uploads import SweepUploads
from v2t.workflows.take_upload import TakeUpload
from v2t.workflows.transcribe_batch import TranscribeBatch
from v2t.workflows.transcribe_file import TranscribeFile
from v2t.workflows.transcribe_group import TranscribeGroup

WORKFLOWS: tuple[type, ...] = (
    TranscribeFile,
    TranscribeBatch,
    TranscribeGroup,
    TakeUpload,
    SweepUploads,
    ApplyRetention,
)
