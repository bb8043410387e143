"""Files of this package as text: model directories, pointers to runs, JSON from files that nothing is known of."""
