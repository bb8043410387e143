"""How an output is put into place: staged, checked, exchanged at once; whose a folder is."""
