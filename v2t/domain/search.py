"""The search attributes of jobs: what an operator can filter Temporal's list of workflows by."""

from __future__ import annotations

USER = "V2tUser"
BATCH = "V2tBatch"
PROVIDER = "V2tProvider"
LANGUAGE = "V2tLanguage"
STATUS = "V2tStatus"
AUDIO_SECONDS = "V2tAudioSeconds"

SEARCH_ATTRIBUTES: dict[str, str] = {
    USER: "Keyword",
    BATCH: "Keyword",
    PROVIDER: "Keyword",
    LANGUAGE: "Keyword",
    STATUS: "Keyword",
    AUDIO_SECONDS: "Double",
}
"""Name → type, in Temporal's words: a namespace must have them all before a job can start in it."""
