"""What it runs on: the built-in data set, the files it is written to, the cache that keeps them.

- `sales.py`: row *i* of the built-in data set, from the seed and *i* alone
- `formats.py`: a stream of record batches to Parquet, Arrow IPC and HDF5 files, and their sizes
- `fingerprint.py`: digests by which a test's own data are found again
- `store.py`: data sets made once, found again, and removed when they take too much room
"""

HALF = "half"
"""The folder of a cache in which data sets are while they are made or removed."""
