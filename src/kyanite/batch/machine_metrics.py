"""What this machine uses, as the metrics of a pool whose nodes are processes on it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

_MEGABYTE = 1024.0 * 1024
_GIGABYTE = 1024.0 * _MEGABYTE


class MachineMetrics:
    """Reads the machine's counters; what is counted since the last reading needs one before it."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._before: tuple[datetime, Any, Any] | None = None

    def read(self, now: datetime) -> dict[str, float]:
        """$CPUPercent as a fraction, memory in MB, disk in GB, the others since the last reading."""
        import psutil

        folder = next(place for place in (self._folder, *self._folder.parents) if place.exists())
        values = {
            "$MemoryBytes": psutil.virtual_memory().used / _MEGABYTE,
            "$DiskBytes": psutil.disk_usage(str(folder)).used / _GIGABYTE,
        }
        busy = psutil.cpu_percent(interval=None) / 100
        disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
        if self._before is not None:
            began, disk_before, network_before = self._before
            values |= {"$CPUPercent": busy, "$WallClockSeconds": (now - began).total_seconds()}
            if disk is not None and disk_before is not None:
                values |= {
                    "$DiskReadBytes": float(disk.read_bytes - disk_before.read_bytes),
                    "$DiskReadOps": float(disk.read_count - disk_before.read_count),
                    "$DiskWriteBytes": float(disk.write_bytes - disk_before.write_bytes),
                    "$DiskWriteOps": float(disk.write_count - disk_before.write_count),
                }
            if network is not None and network_before is not None:
                values |= {
                    "$NetworkInBytes": float(network.bytes_recv - network_before.bytes_recv),
                    "$NetworkOutBytes": float(network.bytes_sent - network_before.bytes_sent),
                }
        self._before = (now, disk, network)
        return values
