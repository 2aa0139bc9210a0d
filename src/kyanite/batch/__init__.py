"""Azure-Batch-style compute inside this process: accounts, pools, nodes, jobs and tasks."""
