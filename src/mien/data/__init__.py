"""Datasets of faces. Needs the extra ``parquet``."""
