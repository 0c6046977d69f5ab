"""Whom a context trusts."""

import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest
import trustme

from gateway.transport.tls import trust


def subjects(context: ssl.SSLContext) -> set[str]:
    return {str(authority["subject"]) for authority in context.get_ca_certs()}


def test_chain_and_name_are_checked_and_old_protocols_are_not_spoken() -> None:
    context = trust()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_an_authority_of_ours_comes_besides_the_others(tmp_path: Path) -> None:
    ours = tmp_path / "ca.pem"
    trustme.CA(organization_name="Acme Private").cert_pem.write_to_path(str(ours))
    alone, with_ours = subjects(trust()), subjects(trust(str(ours)))
    assert alone < with_ours
    assert any("Acme Private" in subject for subject in with_ours - alone)


@pytest.mark.parametrize("capath", [None, "empty"])
def test_a_machine_without_authorities_gets_certifis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capath: str | None
) -> None:
    class Bare:
        cafile = None

    paths: Any = Bare()
    paths.capath = capath and str(tmp_path)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    expected = ssl.create_default_context(cafile=certifi.where())
    assert subjects(trust()) == subjects(expected) != set()


def test_a_machine_with_authorities_keeps_to_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Managed:
        cafile = None
        capath = str(tmp_path)

    (tmp_path / "one.pem").touch()
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: Managed())
    monkeypatch.setattr(certifi, "where", lambda: pytest.fail("certifi was asked"))
    trust()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        trust(str(tmp_path / "none.pem"))
