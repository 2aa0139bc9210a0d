"""What scripts of that time do, azure-storage-blob 2.1.0: read a parquet blob, write it back in parts, count again.

Arguments: account, key, container, folder of the parts (/target/), blob (/source/all.parq), how many parts.
Like many of them it forgets a row at each boundary.
"""

import sys
from io import BytesIO

import pandas
from azure.storage.blob import BlockBlobService

account, key, container, folder, blob, parts = sys.argv[1:]
service = BlockBlobService(account_name=account, account_key=key)


def read(name):
    stream = BytesIO()
    service.get_blob_to_stream(container, name, stream)
    return pandas.read_parquet(stream)


frame = read(blob)
step = len(frame) // int(parts)
begin = 0
for number in range(int(parts)):
    end = len(frame) if number == int(parts) - 1 else begin + step
    buffer = BytesIO()
    frame.iloc[begin:end].to_parquet(buffer)
    name = f"{folder}part{number:04d}.parq"
    service.create_blob_from_bytes(container, name, buffer.getvalue())
    size = service.get_blob_properties(container, name).properties.content_length
    print(name, len(read(name)), size == len(buffer.getvalue()))
    begin = end + 1
