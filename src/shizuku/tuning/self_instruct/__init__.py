"""Self-instruct (Wang et al. 2022): a model writes the tasks, and the answers, that it is tuned on."""
