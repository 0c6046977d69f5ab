"""Personal data: a table of kinds, the checksums of their issuers, and the detector that reads the table. Pure."""
