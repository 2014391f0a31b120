"""Versioned Parquet with a DuckDB face. Knows nothing about images, boxes or captions."""
