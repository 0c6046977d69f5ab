"""The phases of a forwarded call: where it goes, how it is asked, how its answer comes back, and whose the objects are."""
