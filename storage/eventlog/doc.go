// A station's event log is the one place where a fact becomes lasting: what was appended is on disk when Append
// returns, keeps its number for ever, and is found again after any crash without anybody's help.
//
// The log stands in Badger, in one directory:
//
//	lock                two agents on one directory: the second is told (ErrLocked)
//	epoch               which epoch this is and how far each lane had come (see heads)
//	reserve             room kept back, given up at open so that a full disk can still be opened
//	events/             Badger
//	events.corrupt-N/   what Badger could not read, set aside whole, the newest three kept
//
// Keys sort as they are read. All numbers in them are big-endian.
//
//	'e' lane seq        one event: prev, count and bytes of its lane so far, canonical record
//	'c' lane centre     how far a centre has a lane
//	'h' lane from       a range of a lane that cannot be read any more, and the marker event that says so
//	'o' source 0 slot   one of the last Once keys of a source
//	'm' name            what the log says of itself: station and epoch
//
// Every value ends in a CRC-32C over key and value of our own, since Badger checks its tables when they are opened, not
// each time. Each event also carries the seq before it in its lane, so that records that are gone without an error show as
// a hole: the hole is told as a log.evicted event (reason "damaged") and stepped over. A block over which Badger comes
// apart, or a sector that the disk does not give back, is such a hole too, and not the end of the agent.
//
// One goroutine writes. It commits whatever is queued as soon as the commit before is on disk, at most 256 events or
// 256 KiB at a time: a lone alarm never waits, and a crowd shares one sync. Values stay below Badger's ValueThreshold, so
// the write-ahead log alone decides what survives.
//
// Badger dies by SIGBUS where a disk is full, because it writes through sparse memory maps. So the files that take a
// commit are allocated before they are written, and Append answers ErrFull while there is still room for what Badger does
// behind it, or when the disk is filling so fast that this may not last two seconds. A log that is opened on a full disk
// merges nothing until there is room (resting). A neighbour that takes the last 64 MB within the moment in which Badger merges
// can still end the process, though not harm the log: a station whose disk is shared with such a neighbour gives the log a
// partition of its own.
//
// Values are not encrypted and nothing is evicted yet: key and value have room for both (running totals per lane stand in
// each event, so bytes per lane need no scan; holes already say what is missing and why).
package eventlog
