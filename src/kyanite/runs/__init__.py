"""The run store: one append-only log of events per run, and the list of runs folded from it."""
