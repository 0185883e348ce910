"""What all pages are made of: charts, tables and the template loader."""
