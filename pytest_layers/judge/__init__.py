"""Was it allowed: measurements and limits in, verdicts out. Pure: no clock, no files, no pytest."""
