"""The models, and the prompt and output schema of each agent."""
