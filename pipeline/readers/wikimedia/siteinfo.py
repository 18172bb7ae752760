"""Metadata of a wiki from the head of its MediaWiki export: language, URLs, licence and namespace names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

_LANGUAGE = re.compile(rb"""<mediawiki\b[^<>]*\bxml:lang\s*=\s*["']([\w-]+)""")
_SITEINFO = re.compile(rb"<siteinfo\b.*?</siteinfo\s*>", re.DOTALL)
_URL_SAFE = ";@$!*(),/~:"
"""Characters that MediaWiki does not escape in the URL of a page."""
_HIDDEN_NAMESPACES = ("-2", "6", "14")
"""Numbers of the namespaces Media, File and Category."""
_NAMESPACE_NUMBER = re.compile(r"-?\d{1,9}")
_LANGUAGE_HOST = re.compile(r"(?!www\.)([a-z]{2,3}(?:-[a-z-]+)?)\.(?:m\.)?wik[a-z]+\.org")
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
    namespaces: Mapping[str, int] = field(default_factory=dict)
    """Numbers of the namespaces by their lower-case names, which are the prefixes of titles."""

    def namespace(self, title: str) -> int:
        """Return the number of the namespace of a page by its title; 0 is that of articles."""
        prefix, colon, _ = title.partition(":")
        return self.namespaces.get(prefix.strip().lower(), 0) if colon else 0

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
    host = _host(main_page)
    of_host = _LANGUAGE_HOST.fullmatch(host)
    namespaces = {
        (namespace.text or "").lower(): namespace.get("key", "")
        for namespace in info.iterfind("namespaces/namespace")
    }
    return Site(
        language=language or (of_host[1] if of_host else ""),
        license="CC-BY-SA-4.0" if host.endswith(_SHARE_ALIKE_HOSTS) else "",
        base_url=main_page.rpartition("/")[0] + "/" if main_page else "",
        hidden_namespaces=frozenset(name for name, key in namespaces.items() if key in _HIDDEN_NAMESPACES),
        namespaces={
            name: number for name, key in namespaces.items() if (number := namespace_number(key)) is not None
        },
    )


def namespace_number(text: str) -> int | None:
    """Return the number of a namespace, None if the text is not one."""
    return int(text) if _NAMESPACE_NUMBER.fullmatch(text) else None


def _host(url: str) -> str:
    """Return the host name of a URL; empty if there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
