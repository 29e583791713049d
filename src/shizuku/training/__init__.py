"""The one loop, objectives, optimizers, schedules and cost accounting."""
