"""When things run: jobs, schedules, sensors, housekeeping. Few and coarse: a run costs seconds of CPU."""
