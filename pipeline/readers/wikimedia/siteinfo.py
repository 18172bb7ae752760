"""Metadata of a wiki from the head of its MediaWiki export: language, URLs, licence and namespace names."""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

_LANGUAGE = re.compile(rb"""<mediawiki\b[^<>]*\bxml:lang\s*=\s*["']([\w-]+)""")
_SITEINFO = re.compile(rb"<siteinfo\b.*?</siteinfo\s*>", re.DOTALL)
_URL_SAFE = ";@$!*(),/~:"
"""Characters that MediaWiki does not escape in the URL of a page."""
_HIDDEN_NAMESPACES = ("-2", "6", "14")
"""Numbers of the namespaces Media, File and Category."""
_SHARE_ALIKE_HOSTS = (
    "wikipedia.org",
    "wiktionary.org",
    "wikibooks.org",
    "wikiquote.org",
    "wikisource.org",
    "wikiversity.org",
    "wikivoyage.org",
)


@dataclass(frozen=True, slots=True)
class Site:
    """A wiki. Fields that the export does not declare are empty."""

    language: str = ""
    license: str = ""
    base_url: str = ""
    """Prefix of the URLs of all pages."""
    hidden_namespaces: frozenset[str] = frozenset()
    """Lower-case names of the file and category namespaces, whose links are not text."""

    def url(self, title: str) -> str:
        """Return the URL of a page; empty if the base URL is unknown."""
        return self.base_url + quote(title.replace(" ", "_"), safe=_URL_SAFE) if self.base_url else ""


def parse_site(head: bytes) -> Site:
    """Parse the first bytes of an export, in UTF-8."""
    siteinfo, declared = _SITEINFO.search(head), _LANGUAGE.search(head)
    language = declared[1].decode() if declared else ""
    try:
        info = ElementTree.fromstring(siteinfo[0]) if siteinfo else ElementTree.Element("siteinfo")
    except ElementTree.ParseError:
        return Site(language)
    main_page = info.findtext("base") or ""
    host = urlsplit(main_page).hostname or ""
    hidden = (
        namespace
        for namespace in info.iterfind("namespaces/namespace")
        if namespace.get("key") in _HIDDEN_NAMESPACES
    )
    return Site(
        language=language,
        license="CC-BY-SA-4.0" if host.endswith(_SHARE_ALIKE_HOSTS) else "",
        base_url=main_page.rpartition("/")[0] + "/" if main_page else "",
        hidden_namespaces=frozenset((namespace.text or "").lower() for namespace in hidden),
    )
