// A station's event log is the one place where a fact becomes lasting: what was appended is on disk when Append
// returns, keeps its number for ever, and is found again after any crash without anybody's help.
//
// The log stands in Badger, in one directory:
//
//	lock                two agents on one directory: the second is told (ErrLocked)
//	epoch               which epoch this is, how far each lane had come, which seqs are promised, the key's mark (see heads)
//	reserve             room kept back, given up at open so that a full disk can still be opened
//	events/             Badger
//	events.corrupt-N/   what Badger could not read, set aside whole, the newest three kept
//
// Keys sort as they are written. All numbers in them are big-endian.
//
//	'e' bucket lane place   one event: prev, count and bytes of its lane so far, canonical record
//	'g' lane                how much of a lane was evicted
//	'h' lane marker         a range that cannot be had any more, told by the marker event of that seq
//	'm' name                what the log says of itself: station and epoch
//	'o' source 0 slot       one of the last Once keys of a source
//	'r' lane centre         how far a centre has a lane
//
// Every value ends in a CRC-32C over key and value of our own, since Badger checks its tables when they are opened, not
// each time. Each event also carries the seq before it in its lane, so that records that are gone without an error show as
// a hole: the hole is told as a log.evicted event (reason "damaged") and stepped over. A block over which Badger comes
// apart, or a sector that the disk does not give back, is such a hole too, and not the end of the agent. A table that is in
// Badger's MANIFEST and not on disk is struck out, and what stood in it alone is a hole. What Badger cannot open is set aside whole,
// a log of another format as well.
//
// Seqs are promised in steps, synced, before they are given. With a new boot of the machine a log that was not closed goes on
// behind the promise, and tells what it left out (reason "unsure"): a disk may have lost what it acknowledged, and a centre have it.
//
// With a key Badger encrypts its files (AES in counter mode, under keys of its own that it keeps encrypted in KEYREGISTRY).
// What stands beside it in lock and epoch says nothing of any event. A wrong key is ErrKey, and changes nothing.
//
// One goroutine writes. It commits whatever is queued as soon as the commit before is on disk, at most 256 events or
// 256 KiB at a time: a lone alarm never waits, and a crowd shares one sync. No timer makes a commit wait for company: at 2,000
// events a day flash does not notice, and 64 sources at once fill their commits by themselves. Values stay below Badger's
// ValueThreshold, so the write-ahead log alone decides what survives, and it is synced here: Badger would sync an empty value
// log beside it. A journal of our own in front of Badger is not worth it: with one sync a commit Badger costs an alarm some
// 0.1 ms more than the sync itself, and what makes a crowd slower than a plain log is what comes after, each event being
// written twice more as tables are built and merged, which a journal would not take away.
//
// Another goroutine tends the log. Badger rewrites every table between the first and the last key that a merge brings. With
// lanes side by side, one alarm and one trace made that the whole log; so events stand in buckets in the order of appending,
// what changes all the time stands behind them, and merges touch the end. Badger's own compactors are off: once a few memtables
// have been flushed they are merged into the last level, by Flatten. Badger takes a merge for done even when the disk did not take
// what came of it; so what it was made of is held until all of it is known to be there, and else stored again (see held), unless
// the machine stops within that moment. For the same reason what is evicted is not deleted key
// by key, whose tombstones would be merged with the newest events: when a lane's part of a few buckets is gone, it is
// dropped whole. A drop writes a memtable, level 0 and the tables at its ends, and commits wait that long, once for a bucket: 16,384
// seqs, some 8 MB. So a lane may take up to three buckets more than its bound on disk.
//
// Eviction first stores a marker event (reason "space") and a note of how far the lane is gone, in one transaction; readers
// begin behind it from then on, and the rest is tidying that a crash may interrupt anywhere. A marker that is evicted itself is
// told again, unless all required centres have it.
//
// Badger dies by SIGBUS where a disk is full, because it writes through sparse memory maps. So the files that take a
// commit are allocated before they are written, and Append answers ErrFull while there is still room for what Badger does
// behind it, or when the disk is filling so fast that this may not last two seconds. Before it comes to that, events are evicted
// for room. Nothing is merged without room. A neighbour that takes the last 48 MB within the moment in which Badger merges
// can still end the process, though not harm the log: a station whose disk is shared with such a neighbour gives the log a
// partition of its own.
package eventlog
