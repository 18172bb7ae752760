from pipeline.readers.wikimedia.siteinfo import parse_site

HEAD = b"""<mediawiki><siteinfo><base>https://%s/wiki/Main</base><namespaces>
<namespace key="0" /><namespace key="6">Datei</namespace><namespace key="10">Vorlage</namespace>
</namespaces></siteinfo>"""


def test_namespace_of_a_title() -> None:
    site = parse_site(HEAD % b"de.wikipedia.org")
    assert [site.namespace(title) for title in ("Vorlage:A", "vorlage :A", "A", "Re:Zero")] == [10, 10, 0, 0]
    assert site.hidden_namespaces == {"datei"}


def test_language_of_the_host_without_a_declared_language() -> None:
    hosts = (b"de.wikipedia.org", b"www.wikidata.org", b"commons.wikimedia.org", b"wiki.example.com", b"[")
    assert [parse_site(HEAD % host).language for host in hosts] == ["de", "", "", "", ""]
