"""LangGraph's wire protocol, so that its SDKs, RemoteGraph, `useStream` and Studio talk to this service unchanged."""
