"""The HTTP faces of the data plane: how each dialect's routes meet the pipeline."""
