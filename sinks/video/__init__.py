"""Videos: depth in colours to look at, or in lossless millimetres to compute with."""
