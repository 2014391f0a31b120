"""Versioned Parquet tables and files with a DuckDB catalog; independent of `repic`."""
