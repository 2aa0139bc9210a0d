from __future__ import annotations

import pytest

from kyanite.connections import CONNECTIONS, open_connection, open_url
from kyanite.connections.linked_service import account_address
from kyanite.errors import DefinitionError, StorageError, UnsupportedError, UserError
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts

KEY = "d3JvbmdrZXl3cm9uZ2tleQ=="


@pytest.fixture
def accounts(tmp_path):
    accounts = StorageAccounts(tmp_path / "storage", Vault())
    accounts.create("boxes").create_container("box")
    return accounts


def service(kind="AzureBlobStorage", **properties):
    return {"name": "Store", "type": kind, "typeProperties": properties}


def secure(value):
    return {"type": "SecureString", "value": value}


def connection_string(key, **more):
    return ";".join(
        [f"DefaultEndpointsProtocol=https;AccountName=boxes;AccountKey={key}", *(f"{k}={v}" for k, v in more.items())]
    )


def test_table_is_sorted():
    assert list(CONNECTIONS) == sorted(CONNECTIONS)


def test_every_way_to_name_an_account_of_the_workspace(accounts):
    key1, key2 = accounts.get("boxes").keys
    for linked in (
        service(connectionString=connection_string(key1)),
        service(connectionString=secure(connection_string(key2, EndpointSuffix="core.windows.net"))),
        service(connectionString="AccountName=boxes;DefaultEndpointsProtocol=https", accountKey=secure(key1)),
        service(connectionString="accountname=boxes ; ACCOUNTKEY=" + key1 + ";"),
        service(connectionString="AccountName=boxes", encryptedCredential="opaque"),
        service(connectionString="BlobEndpoint=https://boxes.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x"),
        service(serviceEndpoint="https://boxes.blob.core.windows.net/", accountKind="StorageV2"),
        service(serviceEndpoint="https://boxes.blob.core.windows.net/", authenticationType="Msi"),
        service(sasUri=secure("https://boxes.blob.core.windows.net/?sv=2020&sig=abc")),
        service("AzureBlobFS", url="https://boxes.dfs.core.windows.net", accountKey=secure(key2)),
        service("AzureBlobFS", url="https://boxes.dfs.core.windows.net/", servicePrincipalId="i", tenant="t"),
        service("AzureStorage", connectionString=secure(connection_string(key1))),
    ):
        connection = open_connection(linked, accounts)
        connection.check()
        assert connection.kind == linked["type"] and connection.stat("box").is_folder


@pytest.mark.parametrize(
    "linked",
    [
        service(connectionString=connection_string(KEY)),
        service(connectionString="AccountName=boxes", accountKey=secure(KEY)),
        service("AzureBlobFS", url="https://boxes.dfs.core.windows.net", accountKey=secure(KEY)),
    ],
)
def test_a_wrong_key_is_refused_without_showing_it(accounts, linked):
    with pytest.raises(StorageError, match=r"linked service `Store` is not one of account `boxes`'s keys") as caught:
        open_connection(linked, accounts)
    assert caught.value.error_code == "AuthenticationFailed" and KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("linked", "text"),
    [
        (service(connectionString={"type": "AzureKeyVaultSecret", "secretName": "s1"}), "Key Vault secret `s1`"),
        (
            service(
                "AzureBlobFS", url="https://boxes.dfs.core.windows.net", accountKey={"type": "AzureKeyVaultSecret"}
            ),
            "Key V",
        ),
        (service("AzureSqlDatabase"), "Supported are AzureBlobFS, AzureBlobStorage"),
        (service(connectionString="AccountName=elsewhere"), "not in this workspace"),
        (service(serviceEndpoint="https://elsewhere.blob.core.windows.net", authenticationType="Msi"), "by Msi"),
        (service(connectionString="AccountName=elsewhere", encryptedCredential="x"), "by encryptedCredential"),
        (service("FileServer", host="\\\\server\\share"), "Mount the share"),
    ],
)
def test_unsupported(accounts, linked, text):
    with pytest.raises(UnsupportedError, match=text):
        open_connection(linked, accounts)


@pytest.mark.parametrize(
    ("linked", "text"),
    [
        (service(), "does not say which storage account"),
        (service(encryptedCredential="x"), "encryptedCredential, which only the service can open"),
        (service(connectionString="UseDevelopmentStorage=true"), "AccountName, AccountKey and BlobEndpoint"),
        (service(connectionString=f"AccountName=boxes;{KEY.rstrip('=')}"), "piece without `=`"),
        (service(connectionString=secure("**********")), "masked"),
        (service(connectionString=["x"]), "is list, not text"),
        (service(serviceEndpoint="ftp://x"), "no address of a storage account"),
    ],
)
def test_broken(accounts, linked, text):
    with pytest.raises(DefinitionError, match=text) as caught:
        open_connection(linked, accounts)
    assert KEY.rstrip("=") not in str(caught.value)


def test_credentials_are_not_in_the_repr():
    address = account_address(service(connectionString=connection_string(KEY), sasToken="?sig=verysecret"))
    assert address.key == KEY and address.sas == "?sig=verysecret"
    assert KEY not in repr(address) and "verysecret" not in repr(address)


def test_endpoints():
    sovereign = account_address(
        service(connectionString=connection_string(KEY, EndpointSuffix="core.chinacloudapi.cn"))
    )
    assert sovereign.endpoint == "https://boxes.blob.core.chinacloudapi.cn"
    emulator = account_address(
        service(connectionString=connection_string(KEY, BlobEndpoint="http://127.0.0.1:10000/boxes"))
    )
    assert emulator.endpoint == "http://127.0.0.1:10000/boxes"
    by_url = account_address(service(sasUri="http://127.0.0.1:10000/devacc?sv=1&sig=s"))
    assert (by_url.account, by_url.endpoint, by_url.sas) == ("devacc", "http://127.0.0.1:10000/devacc", "sv=1&sig=s")


def test_file_server(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(b"1")
    connection = open_connection(service("FileServer", host=str(tmp_path), userId="u", password=secure("p")), None)
    assert [e.path for e in connection.list("in")] == ["in/a"] and connection.kind == "FileServer"


@pytest.mark.parametrize(
    ("url", "path", "kind"),
    [
        ("https://boxes.blob.core.windows.net/box/a%20b/c.parq", "box/a b/c.parq", "AzureBlobStorage"),
        ("https://BOXES.dfs.core.windows.net/box//a/", "box/a", "AzureBlobFS"),
        ("abfss://box@boxes.dfs.core.windows.net/a/b", "box/a/b", "AzureBlobFS"),
        ("abfs://box@boxes.dfs.core.windows.net", "box", "AzureBlobFS"),
        ("wasbs://box@boxes.blob.core.windows.net//a%20b", "box/a%20b", "AzureBlobStorage"),
        ("http://localhost:10000/boxes/box/a", "box/a", "AzureBlobStorage"),
    ],
)
def test_addresses_of_accounts(accounts, url, path, kind):
    connection, found = open_url(url, accounts)
    assert (found, connection.kind) == (path, kind) and connection.stat("box").is_folder
    assert open_url(url, accounts, accounts.get("boxes").keys[1])[1] == path
    with pytest.raises(StorageError, match="is not one of account `boxes`'s keys") as caught:
        open_url(url, accounts, KEY)
    assert KEY not in str(caught.value)


def test_addresses_of_files(tmp_path, monkeypatch):
    (tmp_path / "a b").write_bytes(b"1")
    monkeypatch.chdir(tmp_path)
    for url in (str(tmp_path / "a b"), "a b", "./x/../a b", f"file://{tmp_path}/a%20b"):
        connection, path = open_url(url, None)
        assert connection.stat(path).size == 1


@pytest.mark.parametrize("url", ["gopher://x/y", "https://example.com", "abfss://boxes.dfs.core.windows.net/a", ""])
def test_refused_addresses(url):
    with pytest.raises(UserError):
        open_url(url, None)


def test_a_real_account_that_cannot_be_reached(accounts):
    linked = service(
        connectionString=connection_string(KEY, BlobEndpoint="http://127.0.0.1:9/far").replace("boxes", "far")
    )
    connection = open_connection(linked, accounts)
    for action in (
        connection.check,
        lambda: connection.open_read("box/a"),
    ):
        with pytest.raises(StorageError) as caught:
            action()
        assert caught.value.error_code == "Unreachable" and KEY not in str(caught.value)


def test_a_key_that_is_no_base64(accounts):
    linked = service(connectionString="AccountName=elsewhere;AccountKey=not base64!!")
    with pytest.raises(StorageError) as caught:
        open_connection(linked, accounts).check()
    assert caught.value.error_code == "AuthenticationFailed" and "not base64!!" not in str(caught.value)
