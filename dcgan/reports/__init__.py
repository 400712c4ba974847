"""Reports about runs: fitness before the first step, comparison, timelapse."""
