// A disk keeps what was synced and may lose everything else when the power goes: this one does lose it, every time.
//
// The disk is a file system that programs use as they would use any other, through memory maps as well. A backing directory
// holds what has reached the medium, one file for each inode; what was written and not synced is held back in memory. At a power cut
// that is dropped, and the same mount point shows what a machine would find after it has come up again. Server is the
// disk itself; Disk is a test's hold on a Server in a process of its own, because a process that maps a file of its own
// file system waits for itself.
//
// # What lasts
//
// Data lasts with fsync, fdatasync or msync of its file. For names and for sizes set by truncate or fallocate there are two models:
//
//   - journalled (the default) is ext4 with data=ordered: such changes of all files go into one journal, in order. A sync of
//     a file or directory that has something in the journal commits all of it. A new file that was synced keeps its name, and
//     a file that was truncated and filled again may be found empty.
//   - strict is what POSIX promises and nothing more: a name lasts when its directory was synced, a size when its file was.
//
// Whatever was dropped can instead have been written back in part, as kernels do at their leisure: a torn cut lets a seeded random
// part of it through, some pages of a file and not others, one of them only in some of its 512-byte sectors, and the first
// part of the journal. After a failed sync pages are clean and not on the medium, as on Linux: a later sync does not write them.
// Owners, permissions and times last at once.
//
// # What is counted
//
// Flash is worn by pages of 4 KiB. A sync writes each page of its file that was written to since the last one, whole. If it
// commits the journal, that takes a page for the descriptor and one for the commit record, one for each 16 inodes with a file whose
// size, extents or (fsync only) time changed, two (bitmap and group descriptor) if blocks were taken or freed, and three (directory
// block, directory inode, inode bitmap) if names changed. Settle stands for what the kernel does within half a minute: it
// writes unsynced pages and times, and what the journal has taken once more, in its place. What ext4 on Linux 6.18 wrote by its block
// device's counter, and what this model says: overwriting a page and fdatasync or msync 1.0 (1), with fsync 4.0 (4), with fdatasync
// and half a minute 5.0 (5), two files so 6.0 (6); appending a page 6.0 (6), appending 100 bytes 4.1 (4), a page that was only
// allocated 4.0 (4), a new file with a page and both syncs 9.0 (9). What the device does below that, such as moving blocks,
// is not counted.
//
// Unlike a disk, a full one does not kill a writer to a sparse map by SIGBUS: its msync answers ENOSPC.
package disk
