-- The calls that started before an application's counters were seeded for the first time, and were counted by them since. KEYS: its marker.
return early_of(KEYS[1])
