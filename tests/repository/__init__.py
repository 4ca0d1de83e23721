"""What must hold of the files in this repository, whatever the code does."""
