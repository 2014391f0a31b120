"""A fourth objective and a source of photos for RePIC; see docs/extending.md."""
