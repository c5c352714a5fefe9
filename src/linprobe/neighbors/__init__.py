"""The nearest rows of a query, exactly: the search, and the codes whose distances rule rows out."""
