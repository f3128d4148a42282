"""ElevenLabs' speech to text."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field, FiniteFloat

from v2t.config.providers import ElevenLabsSettings
from v2t.domain.capabilities import Capabilities
from v2t.domain.errors import ProviderRejected
from v2t.domain.jobs import Chunk, TranscribeOptions
from v2t.domain.languages import LANGUAGES, is_spaced
from v2t.domain.ports import EngineResult, OnProgress
from v2t.domain.transcript import Segment, Word
from v2t.providers._http import HttpEdge
from v2t.providers.heard import join_phrases, make_result

_LIMIT_BYTES = 3_000_000_000
_LIMIT_SECONDS = 10 * 3600.0
"""ElevenLabs, "Create transcript": files up to 3 GB and 10 hours."""

_THREE_LETTERS = (
    "eng:en zho:zh cmn:zh deu:de spa:es rus:ru kor:ko fra:fr jpn:ja por:pt tur:tr pol:pl cat:ca nld:nl ara:ar swe:sv "
    "ita:it ind:id hin:hi fin:fi vie:vi heb:he ukr:uk ell:el msa:ms zsm:ms ces:cs ron:ro dan:da hun:hu tam:ta nor:no "
    "nob:no tha:th urd:ur hrv:hr bul:bg lit:lt lat:la mri:mi mal:ml cym:cy slk:sk tel:te fas:fa lav:lv lvs:lv ben:bn "
    "srp:sr aze:az azj:az slv:sl kan:kn est:et ekk:et mkd:mk bre:br eus:eu isl:is hye:hy nep:ne npi:ne mon:mn khk:mn "
    "bos:bs kaz:kk sqi:sq als:sq swa:sw swh:sw glg:gl mar:mr pan:pa sin:si khm:km sna:sn yor:yo som:so afr:af oci:oc "
    "kat:ka bel:be tgk:tg snd:sd guj:gu amh:am yid:yi lao:lo uzb:uz uzn:uz fao:fo hat:ht pus:ps pbt:ps tuk:tk nno:nn "
    "mlt:mt san:sa ltz:lb mya:my bod:bo tgl:tl fil:tl mlg:mg plt:mg asm:as tat:tt haw:haw lin:ln hau:ha bak:ba "
    "jav:jw sun:su yue:yue"
)
_CODES = dict(pair.split(":") for pair in _THREE_LETTERS.split())
"""ISO 639-3, which it answers in, with single languages for macrolanguages → Whisper's code."""

_STANDARD_CODES = {"jw": "jv"}
"""Whisper's own codes → ISO 639-1."""


class ElevenLabs:
    """Transcriber on ElevenLabs' API.

    Args:
        settings: the section `elevenlabs`.

    Raises:
        ConfigurationError: the certificate authority cannot be read.
    """

    name: ClassVar[str] = "elevenlabs"

    def __init__(self, settings: ElevenLabsSettings) -> None:
        self._settings = settings
        self._base = settings.base_url.rstrip("/")
        self._edge = HttpEdge(self.name, settings, url_setting="base_url", key_setting="api_key")

    @property
    def capabilities(self) -> Capabilities:
        """See RemoteTranscriber.capabilities."""
        return Capabilities(
            limit_bytes=_LIMIT_BYTES,
            limit_seconds=_LIMIT_SECONDS,
            dollars_per_minute=self._settings.dollars_per_minute,
        )

    async def transcribe(
        self, audio: Path, chunk: Chunk, options: TranscribeOptions, on_progress: OnProgress
    ) -> EngineResult:
        """See Transcriber.transcribe."""
        if options.translate:
            raise ProviderRejected("ElevenLabs does not translate; choose another provider, or no translation")
        self._edge.check_size(audio, _LIMIT_BYTES)
        if chunk.speech_seconds > _LIMIT_SECONDS:
            raise ProviderRejected("ElevenLabs takes no more than 10 hours; lower audio.chunk_seconds")
        started = time.monotonic()
        body = await self._edge.ask(
            "POST",
            f"{self._base}/v1/speech-to-text",
            speech_seconds=chunk.speech_seconds,
            headers=self._headers(),
            fields=self._fields(options),
            audio=("file", audio),
        )
        answer = self._edge.parse(_Transcription, body)
        if options.language:
            language, probability = options.language, 1.0
        else:
            language = answer.language
            probability = answer.language_probability if language else 0.0
        segments = answer.as_segments(language, chunk.speech_seconds)
        on_progress(1.0)
        return make_result(chunk, segments, language, probability, time.monotonic() - started)

    async def check(self) -> str:
        """See RemoteTranscriber.check."""
        await self._edge.ask("GET", f"{self._base}/v1/models", headers=self._headers())
        return "accepts the key"

    async def close(self) -> None:
        """See RemoteTranscriber.close."""
        await self._edge.close()

    def _headers(self) -> dict[str, str]:
        return {"xi-api-key": self._edge.reveal(self._settings.api_key, "api_key")}

    def _fields(self, options: TranscribeOptions) -> dict[str, str]:
        fields = {
            "model_id": self._settings.model,
            "timestamps_granularity": "word",
            "tag_audio_events": "true" if self._settings.tag_audio_events else "false",
            "diarize": "false",
        }
        if options.language:
            fields["language_code"] = _STANDARD_CODES.get(options.language, options.language)
        return fields


class _Word(BaseModel):
    text: str
    type: Literal["word", "spacing", "audio_event"] = "word"
    start: FiniteFloat | None = None
    end: FiniteFloat | None = None
    logprob: FiniteFloat | None = None


class _Transcription(BaseModel):
    text: str
    language_code: str = ""
    language_probability: float = Field(default=0.0, ge=0.0, le=1.0)
    words: list[_Word] = []

    @property
    def language(self) -> str:
        """Whisper's code, or nothing for a language that Whisper does not know."""
        code = _CODES.get(self.language_code, self.language_code)
        return code if code in LANGUAGES else ""

    def as_segments(self, language: str, speech_seconds: float) -> list[Segment]:
        """The words in phrases; without words, one segment as long as the audio."""
        words = self._spoken(language)
        return join_phrases(words) if words else [Segment(0.0, speech_seconds, self.text.strip())]

    def _spoken(self, language: str) -> list[Word]:
        found: list[Word] = []
        latest = 0.0
        spaced = is_spaced(language)
        for item in self.words:
            text = item.text.strip()
            if item.type == "spacing" or not text:
                spaced = True
                continue
            start = latest if item.start is None else item.start
            latest = start if item.end is None else item.end
            probability = 0.0 if item.logprob is None else min(1.0, math.exp(item.logprob))
            found.append(Word(text, start, latest, probability, spaced))
            spaced = False
        return found
