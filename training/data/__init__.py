"""Annotated photos: reading, checking, grouping, records to train on."""
