"""Import CSV files into records of an object type, and export records."""
