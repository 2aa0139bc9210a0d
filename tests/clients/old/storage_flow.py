"""Run by the older client's Python: azure-storage-blob 2.1.0, unmodified. Prints one JSON object.

usage: storage_flow.py ACCOUNT KEY [HOST:PORT]      with HOST:PORT http and the account in the path, else the real names
"""

import io
import json
import sys
import uuid

from azure.storage.blob import AppendBlobService, BlobPermissions, BlockBlobService, ContentSettings

ACCOUNT, KEY = sys.argv[1:3]
WHERE = {"custom_domain": f"{sys.argv[3]}/{ACCOUNT}", "protocol": "http"} if len(sys.argv) > 3 else {}
LARGE = bytes(bytearray(range(256))) * 20000


def main():
    service = BlockBlobService(ACCOUNT, KEY, **WHERE)
    service.MAX_SINGLE_PUT_SIZE = service.MAX_BLOCK_SIZE = service.MAX_CHUNK_GET_SIZE = 1024 * 1024
    container = f"old{uuid.uuid4().hex[:10]}"
    told = {"made": [service.create_container(container), service.create_container(container)]}
    service.create_blob_from_text(container, "dir/a b.txt", "hello", content_settings=ContentSettings("text/plain"))
    told["text"] = service.get_blob_to_text(container, "dir/a b.txt").content
    service.create_blob_from_stream(container, "large", io.BytesIO(LARGE), count=len(LARGE), max_connections=2)
    told["large"] = service.get_blob_to_bytes(container, "large", max_connections=2).content == LARGE
    told["range"] = (
        service.get_blob_to_bytes(container, "large", start_range=300, end_range=309).content == LARGE[300:310]
    )
    service.put_block(container, "blocks", b"ab", "MDA=")
    told["uncommitted"] = [
        each.id for each in service.get_block_list(container, "blocks", block_list_type="all").uncommitted_blocks
    ]
    told["names"] = [each.name for each in service.list_blobs(container, prefix="dir/")]
    told["level"] = [each.name for each in service.list_blobs(container, delimiter="/")]
    service.set_blob_metadata(container, "large", {"k": "v"})
    found = service.get_blob_properties(container, "dir/a b.txt")
    told["properties"] = [found.properties.content_length, found.properties.content_settings.content_type]
    told["metadata"] = service.get_blob_metadata(container, "large")
    told["copy"] = service.copy_blob(container, "copy", service.make_blob_url(container, "dir/a b.txt")).status
    sas = service.generate_container_shared_access_signature(container, BlobPermissions("rl"), "2035-01-01")
    reader = BlockBlobService(ACCOUNT, sas_token=sas, **WHERE)
    told["by SAS"] = reader.get_blob_to_text(container, "copy").content
    try:
        reader.delete_blob(container, "copy")
    except Exception as problem:  # noqa: BLE001
        told["refused"] = [problem.status_code, problem.error_code]
    lease = service.acquire_blob_lease(container, "copy", 15)
    service.release_blob_lease(container, "copy", lease)
    log = AppendBlobService(ACCOUNT, KEY, **WHERE)
    log.create_blob(container, "log")
    log.append_block(container, "log", b"one")
    told["log"] = log.get_blob_to_text(container, "log").content
    service.delete_blob(container, "copy")
    told["gone"] = service.exists(container, "copy")
    told["deleted"] = service.delete_container(container)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
