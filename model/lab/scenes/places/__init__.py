"""Places to put things and cameras in: rooms, halls, streets, tables, open ground."""
