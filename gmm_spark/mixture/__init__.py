"""What a mixture is: its parameters, its covariance families, the coordinates that it is fitted in."""
