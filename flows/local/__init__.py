"""Prefect on this machine: server, worker and deployments of `repic up`."""
