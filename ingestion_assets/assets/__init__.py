"""Orchestrated: `ls` reads as the flow. ingested → aggregates → reports."""
