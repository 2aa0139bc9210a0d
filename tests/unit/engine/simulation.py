"""The driver of the pure engine is part of the product; these tests call it by its short name."""

from kyanite.testing.conformance.control_flow import ScriptedRun as Simulation
from kyanite.testing.simulated_run import SimulatedRun, snapshot

__all__ = ["SimulatedRun", "Simulation", "snapshot"]
