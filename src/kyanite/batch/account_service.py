"""Batch accounts, their keys and quotas."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from kyanite import limits
from kyanite.batch.codes import refusal, wrong_value
from kyanite.batch.model import Account, check_identifier
from kyanite.batch.service_base import ServiceBase

_KEYS = ("primary", "secondary")
# images that clients choose from; a pool that names one of them, or any other, is made of this machine
_IMAGES = (
    ("kyanite", "local", "host", "batch.node.kyanite"),
    ("canonical", "ubuntu-24_04-lts", "server", "batch.node.ubuntu 24.04"),
    ("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", "batch.node.ubuntu 22.04"),
    ("canonical", "0001-com-ubuntu-server-focal", "20_04-lts", "batch.node.ubuntu 20.04"),
    ("canonical", "ubuntuserver", "18.04-lts", "batch.node.ubuntu 18.04"),
    ("debian", "debian-12", "12", "batch.node.debian 12"),
    ("almalinux", "almalinux-x86_64", "9-gen2", "batch.node.el 9"),
)


class AccountService(ServiceBase):
    """The verbs on accounts."""

    def create_account(self, name: str, location: str = "local") -> Account:
        """Make the account unless it exists; its keys are `batch/<name>/primary` and `secondary` in the vault."""
        check_identifier("Batch account", name)
        self._store.change("put_account", key=name.casefold(), name=name, location=location)
        account = self.account(name)
        for key in _KEYS:
            self._vault.get_or_create(f"batch/{account.name}/{key}")
        return account

    def keys(self, account: str) -> dict[str, str]:
        """The account's `primary` and `secondary` key."""
        name = self._name(account)
        return {key: self._vault.get_or_create(f"batch/{name}/{key}") for key in _KEYS}

    def regenerate_key(self, account: str, key: str) -> dict[str, str]:
        """Both keys after the `primary` or `secondary` one was replaced; the old one opens nothing any more."""
        if key.lower() not in _KEYS:
            raise wrong_value("keyName", key, "It must be Primary or Secondary.")
        fresh = base64.b64encode(secrets.token_bytes(64)).decode()
        self._vault.put(f"batch/{self._name(account)}/{key.lower()}", fresh)
        return self.keys(account)

    def delete_account(self, account: str) -> None:
        """Remove an account without pools, jobs, schedules and applications; OperationInvalidForCurrentState else."""
        name = self._name(account)
        with self._begin():
            left = self._store.rows("left_in_account", account=name.casefold())[0]
            if any(left):
                kinds = ", ".join(f"{left[kind]} {kind}" for kind in left.keys() if left[kind])  # noqa: SIM118 - a Row
                raise refusal("OperationInvalidForCurrentState", f"The account still has {kinds}.")
            self._store.change("drop_account", account=name.casefold())

    def quotas(self, account: str) -> dict[str, int]:
        """The account's quotas under ARM's names; cores stand for nodes here."""
        self.account(account)
        return {
            "dedicatedCoreQuota": limits.NODES_PER_POOL * limits.POOLS_PER_ACCOUNT,
            "lowPriorityCoreQuota": limits.LOW_PRIORITY_NODES_PER_POOL * limits.POOLS_PER_ACCOUNT,
            "poolQuota": limits.POOLS_PER_ACCOUNT,
            "activeJobAndJobScheduleQuota": limits.ACTIVE_JOBS_PER_ACCOUNT,
        }

    def supported_images(self, account: str) -> list[Mapping[str, Any]]:
        """Linux images by the names that clients know; pools of each run on this machine's own system."""
        self.account(account)
        return [
            {
                "nodeAgentSKUId": agent,
                "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
                "osType": "linux",
                "verificationType": "verified",
                "capabilities": [],
            }
            for publisher, offer, sku, agent in _IMAGES
        ]

    def usage(self, account: str) -> list[Mapping[str, Any]]:
        """Pool usage metrics: none are kept."""
        self.account(account)
        return []
