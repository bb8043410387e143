"""The mixture: its parameters, its covariance families, and the coordinates in which EM runs."""
