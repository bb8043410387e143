"""What a scheduled job needs around the mathematics: configuration, input, safe output, exit statuses."""
