"""Whole regions in batch: many scenes, many regions, hours of work on one machine or a cluster."""
