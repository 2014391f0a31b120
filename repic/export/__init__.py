"""Data for other programs: typed rows with their pictures."""
