"""The embedded storage account: containers and folders as plain folders on disk, with the service's names and keys."""

from kyanite.storage.account import StorageAccount, StorageAccounts
from kyanite.storage.file_writer import FileWriter
from kyanite.storage.model import Entry

__all__ = ["Entry", "FileWriter", "StorageAccount", "StorageAccounts"]
