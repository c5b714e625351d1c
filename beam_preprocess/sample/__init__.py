"""The demo data set `sample`: sessions with planted preference groups, and their optimum."""
