"""The HTTP front: Azure's wire protocols on the workspace's services, on loopback addresses."""
