"""The languages Whisper knows, and how people name them."""

from __future__ import annotations

import difflib

from v2t.domain.errors import UnknownLanguage

LANGUAGES: dict[str, str] = {
    "en": "English",
    "zh": "Chinese",
    "de": "German",
    "es": "Spanish",
    "ru": "Russian",
    "ko": "Korean",
    "fr": "French",
    "ja": "Japanese",
    "pt": "Portuguese",
    "tr": "Turkish",
    "pl": "Polish",
    "ca": "Catalan",
    "nl": "Dutch",
    "ar": "Arabic",
    "sv": "Swedish",
    "it": "Italian",
    "id": "Indonesian",
    "hi": "Hindi",
    "fi": "Finnish",
    "vi": "Vietnamese",
    "he": "Hebrew",
    "uk": "Ukrainian",
    "el": "Greek",
    "ms": "Malay",
    "cs": "Czech",
    "ro": "Romanian",
    "da": "Danish",
    "hu": "Hungarian",
    "ta": "Tamil",
    "no": "Norwegian",
    "th": "Thai",
    "ur": "Urdu",
    "hr": "Croatian",
    "bg": "Bulgarian",
    "lt": "Lithuanian",
    "la": "Latin",
    "mi": "Maori",
    "ml": "Malayalam",
    "cy": "Welsh",
    "sk": "Slovak",
    "te": "Telugu",
    "fa": "Persian",
    "lv": "Latvian",
    "bn": "Bengali",
    "sr": "Serbian",
    "az": "Azerbaijani",
    "sl": "Slovenian",
    "kn": "Kannada",
    "et": "Estonian",
    "mk": "Macedonian",
    "br": "Breton",
    "eu": "Basque",
    "is": "Icelandic",
    "hy": "Armenian",
    "ne": "Nepali",
    "mn": "Mongolian",
    "bs": "Bosnian",
    "kk": "Kazakh",
    "sq": "Albanian",
    "sw": "Swahili",
    "gl": "Galician",
    "mr": "Marathi",
    "pa": "Punjabi",
    "si": "Sinhala",
    "km": "Khmer",
    "sn": "Shona",
    "yo": "Yoruba",
    "so": "Somali",
    "af": "Afrikaans",
    "oc": "Occitan",
    "ka": "Georgian",
    "be": "Belarusian",
    "tg": "Tajik",
    "sd": "Sindhi",
    "gu": "Gujarati",
    "am": "Amharic",
    "yi": "Yiddish",
    "lo": "Lao",
    "uz": "Uzbek",
    "fo": "Faroese",
    "ht": "Haitian Creole",
    "ps": "Pashto",
    "tk": "Turkmen",
    "nn": "Nynorsk",
    "mt": "Maltese",
    "sa": "Sanskrit",
    "lb": "Luxembourgish",
    "my": "Myanmar",
    "bo": "Tibetan",
    "tl": "Tagalog",
    "mg": "Malagasy",
    "as": "Assamese",
    "tt": "Tatar",
    "haw": "Hawaiian",
    "ln": "Lingala",
    "ha": "Hausa",
    "ba": "Bashkir",
    "jw": "Javanese",
    "su": "Sundanese",
    "yue": "Cantonese",
}
"""Code → English name, as in openai-whisper's `tokenizer.py` (LANGUAGES); "jw" is Whisper's own code."""

AUTOMATIC = "auto"
"""What people write to have the language detected; on the wire that is the empty string."""

_ALIASES: dict[str, str] = {
    # openai-whisper, tokenizer.py, TO_LANGUAGE_CODE
    "burmese": "my",
    "valencian": "ca",
    "flemish": "nl",
    "haitian": "ht",
    "letzeburgesch": "lb",
    "pushto": "ps",
    "panjabi": "pa",
    "moldavian": "ro",
    "moldovan": "ro",
    "sinhalese": "si",
    "castilian": "es",
    "mandarin": "zh",
    # standard codes where Whisper chose another
    "fil": "tl",
    "jv": "jw",
    "nb": "no",
}

_CODES: dict[str, str] = {
    **{code: code for code in LANGUAGES},
    **{name.casefold(): code for code, name in LANGUAGES.items()},
    **_ALIASES,
}

_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""openai-whisper, tokenizer.py, split_to_word_tokens: no spaces between words (it leaves Khmer out)."""


def parse_language(text: str) -> str:
    """Turn what a person wrote into a Whisper code.

    Accepts a code ("de"), a code with a region ("pt-BR"), an English name or alias ("Mandarin"),
    in any case; "auto" or nothing means: detect, and gives the empty string.

    Raises:
        UnknownLanguage: none of these; the message suggests the nearest match.
    """
    wanted = " ".join(text.replace("_", "-").split()).casefold()
    if wanted in {"", AUTOMATIC}:
        return ""
    code = _CODES.get(wanted) or _CODES.get(wanted.partition("-")[0])
    if code is None:
        raise UnknownLanguage(f"{text!r} is not a language Whisper knows; {_advice(wanted)}")
    return code


def is_spaced(code: str) -> bool:
    """Whether the language puts spaces between words; an unknown one is taken to."""
    return code not in _UNSPACED


def _advice(wanted: str) -> str:
    nearest = difflib.get_close_matches(wanted, _CODES, n=1)
    if not nearest:
        return 'give an English name or a code such as "de", or "auto" to detect it'
    code = _CODES[nearest[0]]
    return f'did you mean {LANGUAGES[code]} ("{code}")?'
