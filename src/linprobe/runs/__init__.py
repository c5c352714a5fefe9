"""Runs: training that leaves a folder behind, survives a kill, and can be continued."""
