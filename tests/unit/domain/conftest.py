from __future__ import annotations

from hypothesis import settings

# no deadline: a shared machine stalls now and then; no database: tests leave nothing behind
settings.register_profile("v2t", deadline=None, database=None)
settings.load_profile("v2t")
