"""The shell around the pure core: workspaces, the worker that advances runs, deployment and monitoring.

The only place with threads and timers.
"""
