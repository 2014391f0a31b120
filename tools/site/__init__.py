"""The documentation site: pages of reference that MkDocs generates from the code at build."""
