"""What the templates of the larger wikis show, in sentences of their languages."""

from datetime import date

import pytest

from pipeline.extraction.wikitext import Options, to_prose


def prose(language: str, wikitext: str, project: str = "wikipedia") -> str:
    options = Options(language, project, title="Page", saved_on=date(2024, 5, 1))
    return to_prose(wikitext, options).strip()


@pytest.mark.parametrize(
    ("language", "wikitext", "expected"),
    [
        ("en", "Made by {{sortname|Mary|Hill}} on {{dts|1920|3|4}}.", "Made by Mary Hill on March 4, 1920."),
        ("en", "The ferry {{MV|Aurora}} met {{HMS|Ark|91}}.", "The ferry MV Aurora met HMS Ark (91)."),
        ("en", "{{USS|Nimitz|CVN-68|2}}, {{ship|SS|Rex}}", "Nimitz, SS Rex"),
        (
            "en",
            "{{flag|USA}}, {{flagicon|FRA}} [[France]], {{GER}} won",
            "United States, France, Germany won",
        ),
        ("en", "{{ill|Ann|de}}, {{ill|fr|Luc}}, {{ill|lt=Jo|X|de|Y}}", "Ann, Luc, Jo"),
        ("en", "({{langx|de|Haus}}, {{lang-fr|maison}})", "(German: Haus, French: maison)"),
        ("en", "the sound {{IPA|/x/}} and {{IPAc-en|k|ɪ|ŋ}} are", "the sound /x/ and /kɪŋ/ are"),
        ("en", "Bo ({{IPA|x}}; said {{IPA|y}}) is", "Bo (said y) is"),
        ("en", "{{nihongo|Kobe|神戸|Kōbe}} {{nihongo||神戸|Kōbe}}", "Kobe (神戸, Kōbe) Kōbe (神戸)"),
        ("en", "at {{coord|51|30|N|0|7|W}} {{coord|1|N|2|E|display=title}}.", "at 51°30′N 0°7′W."),
        ("de", "({{enS|house}}, {{ruS|дом|dom}})", "(englisch house, russisch дом, dom)"),
        ("de", "{{Höhe|443|CH}}, {{Maß|12000|km}}, {{EUR|50}}", "443 m ü. M., 12.000 km, 50 €"),
        ("de", "am {{Datum|1920|3|4}} und {{4. März}}", "am 4. März 1920 und 4. März"),
        (
            "fr",
            "le {{XVIIe siècle}}, au {{s-|V|e}}, {{-s|I|er}}",
            "le XVIIe siècle, au Ve siècle, Ier siècle av. J.-C.",
        ),
        ("fr", "à {{heure|8|05}}, {{tmp|-5|°C}}, {{euro|3}}", "à 8 h 05, -5 °C, 3 €"),
        ("fr", "{{Lien|langue=en|trad=Jo Hill|texte=Jo}} et {{Lien|Ann|en|Ann Lee}}", "Jo et Ann"),
        ("fr", "{{date||mai|1912}}, {{date|4 mai 1912}}", "mai 1912, 4 mai 1912"),
        ("es", "el {{fecha|4|3|1920}} o {{fecha|1920|3|4}}", "el 4 de marzo de 1920 o 4 de marzo de 1920"),
        ("es", "dijo {{cita|sol}} en {{siglo|V|a}}; {{AC|5}}.", "dijo «sol» en siglo V a. C.; 5 a. C."),
        ("it", "{{Citazione necessaria|il primo}} a {{Maiuscoletto|Roma}}", "il primo a Roma"),
        ("it", "a 250 {{m s.l.m.}} nel 44 {{a.C.}} circa", "a 250 m s.l.m. nel 44 a.C. circa"),
        ("it", "{{Bandiera|Francia|nome}}, {{ITA}}, {{M|30|ul=m}}", "Francia, Italia, 30 m"),
        (
            "pt",
            "em {{dtlink|4|3|1920}}, {{séc|XIX}}; {{link|en|John|João}}",
            "em 4 de março de 1920, século XIX; João",
        ),
        ("ru", "({{lang-en|house}}) {{нп5|Джон|Джоном|en|John}}", "(англ. house) Джоном"),
        ("ru", "{{не переведено|Энн||en|Ann}} в {{s|1920 году}}", "Энн в 1920 году"),
        ("ru", "{{num|30|м}}, {{дата|4|3|1920}}, 5 {{plural|5|год|года|лет}}", "30 м, 4 марта 1920, 5 лет"),
        ("uk", "({{lang-en|house}}) {{нп|Джон|Джоном|en|John}}", "(англ. house) Джоном"),
        ("pl", "({{ang.|house}}) {{data|1920-03-04}}{{r|Lee}}", "(ang. house) 4 marca 1920"),
        ("nl", "{{aut|Linnaeus}}, {{eeuw|19}}, {{NLD}} won", "Linnaeus, 19e eeuw, Nederland won"),
        ("sv", "{{språk|en|house}}, {{auktor|Linné}}", "house, Linné"),
        ("cs", "({{vjazyce|en|house}}) {{datum|4|3|1920}}", "(anglicky house) 4. března 1920"),
        ("ja", "{{仮リンク|アン|en|Ann}}は{{ルビ|山|やま}}に{{和暦|2000}}", "アンは山（やま）に平成12年"),
        ("ja", "{{lang-en-short|house}}、{{仮リンク|A|en|B|label=ボブ}}", "英語: house、ボブ"),
        ("zh", "由{{link-en|安|Ann}}、{{tsl|en|Bob|鲍勃}}和{{le|卡尔|Carl|小卡}}", "由安、鲍勃和小卡"),
        ("zh", "{{bd|1920年|3月4日|1990年|5月6日}}", "1920年3月4日－1990年5月6日"),
        (
            "ko",
            "({{llang|en|house}}) {{임시링크|앤|en|Ann}}, {{날짜|1920-3-4}}",
            "(영어: house) 앤, 1920년 3월 4일",
        ),
        ("ar", "{{إنج|house}} {{وإو|تر=Ann|عر=آن}}", "بالإنجليزية: house آن"),
    ],
)
def test_text_carrying_templates(language: str, wikitext: str, expected: str) -> None:
    assert prose(language, wikitext) == expected


def test_link_template_of_sister_projects() -> None:
    assert prose("en", "in {{w|Oslo|OSLO}} and {{w|Bergen}}.", "wikinews") == "in OSLO and Bergen."


@pytest.mark.parametrize("language", ["ja", "zh", "ko", "de", "ru", "fr", "ar"])
def test_units_are_not_english_in_other_languages(language: str) -> None:
    found = prose(language, "{{convert|30|m|ft}} {{convert|5|mi2|km2}} {{convert|2|e6ST|t}}")
    assert "30" in found
    assert not any(word in found for word in ("metre", "meters", "feet", "foot", "square", "tons", "million"))


def test_units_in_the_language() -> None:
    assert prose("ja", "{{convert|30|m|ft}}") == "30メートル（98フィート）"
    assert prose("zh", "{{convert|30|m|ft}}") == "30米（98英尺）"
    assert prose("ru", "{{convert|30|m|ft}}") == "30 метров (98 фт)"
