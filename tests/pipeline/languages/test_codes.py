import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.resources import read_toml
from pipeline.languages.codes import UNKNOWN, configured, fold, label_code, parse

AMBIGUOUS = {"all", "any", "nan", "nil", "unk"}
"""Codes that mean a missing value, unless a script or region follows."""
SPELLINGS = {
    "en": "en EN En en-US en_GB en_US.UTF-8 en-GB-oed eng ENG eng_Latn English english ENGLISH simple",
    "de": "de deu ger de-AT de_DE@euro de-Latn-1996 deu_Latn German Deutsch deutsch",
    "fr": "fr fra fre fr-CA fra_Latn French français Français francais FRANÇAIS",
    "zh": "zh zho chi cmn zh-Hant-TW zh_CN zh-cmn-Hans zho_Hans cmn_Hani Chinese Mandarin 中文 简体中文",
    "pt": "pt por pt_BR pt-PT por_Latn Portuguese português Portugues",
    "es": "es spa es-419 spa_Latn Spanish Castilian español castellano",
    "fa": "fa fas per pes prs fa-IR pes_Arab Persian Farsi فارسی",
    "no": "no nb nor nob nb-NO nob_Latn Norwegian norsk",
    "nn": "nn nno nno_Latn Nynorsk",
    "ar": "ar ara arb ar-EG arb_Arab Arabic العربية",
    "ms": "ms msa may zsm zsm_Latn Malay",
    "he": "he heb iw he-IL heb_Hebr Hebrew עברית",
    "id": "id ind in id_ID ind_Latn Indonesian",
    "el": "el ell gre ell_Grek Greek Ελληνικά",
    "cs": "cs ces cze ces_Latn Czech čeština",
    "cy": "cy cym wel Welsh Cymraeg",
    "tl": "tl tgl fil fil_Latn Filipino Tagalog",
    "sq": "sq sqi alb als_Latn Albanian shqip",
    "yue": "yue zh-yue yue_Hant Cantonese",
    "ltg": "ltg ltg-LV",
}
PLACEHOLDERS = (
    "und unknown UNKNOWN Unknown mul zxx mis none None null nan NaN NA n/a N/A - -- ? ??? . _ xx zz und-Latn "
    "x-unknown qaa i-default C POSIX C.UTF-8 \\N"
).split()
PHRASES = {
    "en": [
        "en, de",
        "en;de",
        "en|de",
        "en/de",
        "en de",
        '["en", "de"]',
        "en-US,en;q=0.5",
        " en\n",
        "English (US)",
    ],
    "de": [
        "German language",
        "German (DE)",
        "German; Deutsch",
        "de (Deutsch)",
        "Deutsch (Österreich)",
        "und, de",
        "'de'",
    ],
    "zh": ["Chinese (Simplified)", "Simplified Chinese", "Chinese - Traditional", "chinese, mandarin"],
    "no": ["Norwegian Bokmål", "Norwegian (Bokmål)"],
    "pt": ["Brazilian Portuguese", "Portuguese, Brazil"],
    "el": ["Greek, Modern (1453-)", "Modern Greek"],
    "id": ["Bahasa Indonesia", "bahasa_indonesia"],
    "fr": ["http://id.loc.gov/vocabulary/iso639-2/fre", "http://lexvo.org/id/iso639-3/fra"],
    "": ["not available", "no linguistic content", "12", "qq", "xyz", "x" * 5000, "blah blah", "\ud800", "e"],
}


@pytest.mark.parametrize("code", SPELLINGS)
def test_spellings_mean_the_same_language(code: str) -> None:
    spellings = SPELLINGS[code].split()
    assert {spelling: parse(spelling) for spelling in spellings} == dict.fromkeys(spellings, code)


@pytest.mark.parametrize("code", PHRASES)
def test_phrases_and_lists(code: str) -> None:
    assert {phrase: parse(phrase) for phrase in PHRASES[code]} == dict.fromkeys(PHRASES[code], code)


@pytest.mark.parametrize("placeholder", ["", " ", *PLACEHOLDERS])
def test_placeholders_mean_no_language(placeholder: str) -> None:
    assert parse(placeholder) == ""


def test_unusual_scripts_are_part_of_the_code() -> None:
    assert (parse("sr"), parse("srp_Cyrl"), parse("sr-Latn-RS")) == ("sr", "sr", "sr-Latn")
    assert (label_code("srp_Latn"), label_code("eng_Latn"), label_code("en")) == ("sr-Latn", "en", "en")


@example("nan-TW")
@example("all_0")
@example("nau")  # ISO 639-1 has na, which means that nothing is known
@given(st.text() | st.from_regex("[a-zA-Z]{2,3}([-_][a-zA-Z0-9]{2,8}){0,3}", fullmatch=True))
def test_parsing_a_code_returns_it(text: str) -> None:
    code = parse(text)
    assert parse(code) == ("" if code in AMBIGUOUS else code)


def test_every_name_is_folded_and_leads_to_its_code() -> None:
    names: dict[str, list[str]] = read_toml("pipeline.languages", "names.toml")
    found = [(name, code) for code, spellings in names.items() for name in spellings]
    assert [name for name, _ in found if fold(name) != name] == []
    assert [(name, parse(name), code) for name, code in found if parse(name) != code] == []


def test_configured_languages() -> None:
    assert configured("English", "key") == configured("eng_Latn", "key") == configured("EN", "key") == "en"
    assert configured("sr-Latn", "key") == "sr"
    assert configured("sr-Latn", "key", other_model=True) == "sr-Latn"
    assert configured(UNKNOWN, "key") == UNKNOWN
    with pytest.raises(ConfigError, match="key: 'unknown' is not a language; write und for texts"):
        configured("unknown", "key")
