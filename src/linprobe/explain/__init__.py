"""What a fitted classifier sees: the class that it gives each place."""
