"""A factory of the workspace as an ARM template or a git folder for elsewhere: without its secrets."""

from __future__ import annotations

import json
from typing import Any

from kyanite.definitions.export import ExportedTemplate, export_template
from kyanite.definitions.model import Factory
from kyanite.definitions.save import folder_files
from kyanite.runtime.secret_values import factory_secrets
from kyanite.runtime.workspace import Workspace

Json = Any


def factory_template(workspace: Workspace, factory: Factory) -> ExportedTemplate:
    """The factory as a template whose secrets are parameters."""
    secrets = {value for value in factory_secrets(factory).values() if value}

    def holds_secret(text: str) -> bool:
        return any(secret in text for secret in secrets) or workspace.vault.mask(text) != text

    return export_template(factory, holds_secret)


def factory_files(workspace: Workspace, factory: Factory) -> dict[str, dict[str, Json]]:
    """The documents of a git folder by relative path, each secret shown as asterisks."""
    workspace.vault.register(factory_secrets(factory))
    shown = workspace.vault.mask_json(folder_files(factory))
    return {path: json.loads(json.dumps(document)) for path, document in shown.items()}
