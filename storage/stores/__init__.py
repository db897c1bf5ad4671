"""Object stores: one small protocol, a directory, memory and S3 behind it."""
