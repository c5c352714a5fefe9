"""Runs: training that leaves a folder, survives a kill, and resumes bit-identically."""
