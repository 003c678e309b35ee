"""What both protocols need of a network: retry delays and server addresses."""
