"""HTTP in both directions: one guard for the requests that we serve, limits for replies we read."""
