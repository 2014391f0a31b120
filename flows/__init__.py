"""Prefect flows: order, retries, concurrency and schedules. No domain logic."""
