"""The build: stages, kept results, quarantine, reviews, status, catalog."""
