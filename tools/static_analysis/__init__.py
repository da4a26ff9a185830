"""Static analysis of learner code: parsed in a limited child process, never imported, never run."""
