"""What can be asked about autoscale beyond the service's own verbs."""

from __future__ import annotations

from typing import Any

from kyanite import limits
from kyanite.batch.service_base import ServiceBase


class AutoscaleService(ServiceBase):
    """Formulas tried on any pool, and the evaluations that were."""

    def preview_autoscale(self, account: str, pool: str, formula: str) -> dict[str, Any]:
        """The AutoScaleRun of a formula on the pool as it is now, whether autoscale is enabled or not."""
        from kyanite.batch import autoscale_turn

        autoscale_turn.check_formula(formula)
        return autoscale_turn.evaluate_now(self._store, self.pool(account, pool), formula, self._clock())

    def autoscale_runs(self, account: str, pool: str, most: int = limits.AUTOSCALE_RUNS_KEPT) -> list[dict[str, Any]]:
        """The pool's last evaluations, newest first."""
        from kyanite.batch import autoscale_turn

        found = self.pool(account, pool)
        return autoscale_turn.runs(self._store, found.account, found.id, most)
