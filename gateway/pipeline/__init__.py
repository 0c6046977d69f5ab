"""The sentence: receive > authenticate > resolve > render > admit > guard_in > route > call > guard_out > respond > record."""
