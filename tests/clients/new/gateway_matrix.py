"""Today's clients, each as its own documentation begins, for https://ACCOUNT.blob|dfs.core.windows.net.

Arguments: account, key. Prints a JSON object: client -> what it read. No client is told anything about kyanite.
"""

import asyncio
import json
import sys

from azure.identity import ClientSecretCredential, DefaultAzureCredential
from azure.identity.aio import DefaultAzureCredential as AsyncCredential
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient
from azure.storage.filedatalake import DataLakeServiceClient

account, key, secret = sys.argv[1:]
blob_url = f"https://{account}.blob.core.windows.net"
found = {}


def blob():
    with DefaultAzureCredential() as credential, BlobServiceClient(blob_url, credential=credential) as service:
        box = service.create_container("box")
        box.upload_blob("folder/one.txt", b"hello")
        return box.download_blob("folder/one.txt").readall().decode()


async def blob_aio():
    async with AsyncCredential() as credential, AsyncBlobServiceClient(blob_url, credential=credential) as service:
        return [each.name async for each in service.list_containers()]


def datalake():
    url = f"https://{account}.dfs.core.windows.net"
    with DefaultAzureCredential() as credential, DataLakeServiceClient(url, credential=credential) as service:
        return [path.name for path in service.get_file_system_client("box").get_paths()]


def adlfs_files():
    import adlfs

    return adlfs.AzureBlobFileSystem(account_name=account, account_key=key).find("box")


def pyarrow_files():
    from pyarrow.fs import AzureFileSystem, FileSelector

    selector = FileSelector("box", recursive=True)
    return [info.path for info in AzureFileSystem(account, account_key=key).get_file_info(selector)]


def obstore_files():
    import obstore
    from obstore.store import AzureStore

    store = AzureStore("box", account_name=account, account_key=key)
    return [each["path"] for page in obstore.list(store) for each in page]


def datafactory():
    with (
        DefaultAzureCredential() as credential,
        DataFactoryManagementClient(credential, "00000000-0000-0000-0000-000000000000") as client,
    ):
        return [each.name for each in client.factories.list()]


def client_secret():
    with ClientSecretCredential("00000000-0000-0000-0000-000000000000", "ci", secret) as credential:
        return len(credential.get_token("https://management.azure.com/.default").token) > 100


found["blob"] = blob()
found["blob_aio"] = asyncio.run(blob_aio())
for client in (datalake, adlfs_files, pyarrow_files, obstore_files, datafactory, client_secret):
    found[client.__name__] = client()
print(json.dumps(found))
