"""A dataset's location: the container, folder and file it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kyanite.errors import DefinitionError, UnsupportedError
from kyanite.storage.model import join, normalise

# location type -> the member that names the container; "" where there is none
LOCATIONS = {
    "AmazonS3Location": "bucketName",
    "AzureBlobFSLocation": "fileSystem",
    "AzureBlobStorageLocation": "container",
    "FileServerLocation": "",
}


@dataclass(frozen=True)
class Location:
    """Where a dataset points; `container` is empty for file servers, `file` when it names a folder."""

    container: str
    folder: str
    file: str

    @property
    def folder_path(self) -> str:
        """The folder with its container."""
        return join(self.container, self.folder)


def read_location(dataset: str, type_properties: Mapping[str, Any]) -> Location:
    """The location in a dataset's typeProperties; UnsupportedError for a type of location that is not known."""
    location = type_properties.get("location")
    if not isinstance(location, Mapping):
        raise DefinitionError(f"Dataset `{dataset}` has no location.")
    kind = location.get("type")
    if kind not in LOCATIONS:
        raise UnsupportedError(
            f"Dataset `{dataset}` has a location of type `{kind}`.", cure=f"Supported are {', '.join(LOCATIONS)}."
        )
    member = LOCATIONS[kind]
    container = text(location, member, f"location of dataset `{dataset}`") if member else ""
    if member and not container:
        raise DefinitionError(f"The location of dataset `{dataset}` has no `{member}`.")
    where = f"location of dataset `{dataset}`"
    return Location(
        normalise(container),
        normalise(text(location, "folderPath", where)),
        normalise(text(location, "fileName", where)),
    )


def text(properties: Mapping[str, Any], key: str, where: str) -> str:
    """A text member, empty when absent or null; DefinitionError for anything else."""
    value = properties.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DefinitionError(f"`{key}` in the {where} is {type(value).__name__}, not text.")
    return value


def flag(properties: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    """A boolean member, also as text `true`/`false` in any case."""
    value = properties.get(key)
    if value is None:
        return default
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise DefinitionError(f"`{key}` in the {where} is {value!r}, not true or false.")
    return value
