"""Reading CSV files into records of an object type."""
