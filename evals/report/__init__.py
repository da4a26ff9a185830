"""Reports of an evaluation: for people (HTML, terminal), for programs (JSON), for CI (JUnit XML)."""
