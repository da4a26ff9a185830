"""HTTP, SSE, WebSocket, workers and the command line."""
