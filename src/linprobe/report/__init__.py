"""Reports: one run, or a comparison of several, as a single self-contained HTML page."""
