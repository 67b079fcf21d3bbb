"""Computed values: what functions make of the rows, under the protocol of every other read.

A value is one entry with one row of one column, its bytes. So stamps before the load, guards,
flights, claims of other processes, compression and the statistics are those of queries
(`read.lookup`); what is its own is here:

`identity` tells arguments apart, `keys` names the value, `resting` says what it rests on, `values`
turns it into bytes and back, `asking` asks, `functions` and `door` are what people write.
"""
