"""Moving data between connections: the Copy activity, and the splitter."""

from kyanite.movement.transfer import CopyRequest, Dataset, copy

__all__ = ["CopyRequest", "Dataset", "copy"]
