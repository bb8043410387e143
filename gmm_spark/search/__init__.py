"""Where EM starts: samples, k-means++ partitions, short and long runs, moves of components, missed clusters."""
