"""The two sides of privacy modes that are heavy to import, and what they are made of."""
