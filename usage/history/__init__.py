"""The entries that moved an account's credits: pages and their lines, search, statements, exported files."""
