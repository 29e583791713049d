"""Policy optimisation: a model samples answers, a reward judges them, and PPO or GRPO learns from both."""
