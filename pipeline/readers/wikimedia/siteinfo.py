"""What a MediaWiki export says of its wiki: language, addresses, licence, the names of its namespaces."""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

_LANGUAGE = re.compile(rb"""<mediawiki\b[^<>]*\bxml:lang\s*=\s*["']([\w-]+)""")
_SITEINFO = re.compile(rb"<siteinfo\b.*?</siteinfo\s*>", re.DOTALL)
_TITLE_SAFE = ";@$!*(),/~:"
"""What MediaWiki leaves as it is in a page's address."""
_HIDDEN = ("-2", "6", "14")
"""Numbers of the namespaces Media, File and Category."""
_SHARE_ALIKE = (
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
    """A wiki; empty where the export does not say."""

    language: str = ""
    license: str = ""
    address: str = ""
    """What the addresses of all pages begin with."""
    hidden_namespaces: frozenset[str] = frozenset()
    """The wiki's own names, in lower case, of namespaces whose links are no text: files and categories."""

    def url(self, title: str) -> str:
        """A page's address."""
        return self.address + quote(title.replace(" ", "_"), safe=_TITLE_SAFE) if self.address else ""


def site(head: bytes) -> Site:
    """The wiki by the first bytes of its export, in UTF-8."""
    found, declared = _SITEINFO.search(head), _LANGUAGE.search(head)
    language = declared[1].decode() if declared else ""
    try:
        info = ElementTree.fromstring(found[0]) if found else ElementTree.Element("siteinfo")
    except ElementTree.ParseError:
        return Site(language)
    base = info.findtext("base") or ""
    host = urlsplit(base).hostname or ""
    hidden = (
        namespace for namespace in info.iterfind("namespaces/namespace") if namespace.get("key") in _HIDDEN
    )
    return Site(
        language=language,
        license="CC-BY-SA-4.0" if host.endswith(_SHARE_ALIKE) else "",
        address=base.rpartition("/")[0] + "/" if base else "",
        hidden_namespaces=frozenset((namespace.text or "").lower() for namespace in hidden),
    )
