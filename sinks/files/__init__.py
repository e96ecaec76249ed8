"""What every sink that writes a file needs: where it may be created, and what its errors mean."""
