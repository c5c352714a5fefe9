"""The floor under the rooms: they only run the sums."""
