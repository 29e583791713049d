"""The native library: C++ kernels behind a plain C interface, and their binding. Nothing here needs torch."""
