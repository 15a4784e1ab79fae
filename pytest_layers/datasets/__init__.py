"""What engines run on: data sets, the files they are written to, and the cache that keeps them.

- `sales.py`: generates the built-in data set; row *i* depends on the seed and *i* alone
- `formats.py`: writes a stream of record batches to Parquet, Arrow IPC and HDF5 files, and counts what is in files
- `fingerprint.py`: digests by which a test's own data are found in the cache
- `store.py`: the cache: data sets are made once, found again, and removed when they take too much room
"""

HALF = "half"
"""The folder of a cache in which data sets are while they are made or removed."""
