//go:build !(386 || arm || mips || mipsle)

package disk

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	cacheFor = time.Hour // only the kernel changes what it caches
	ioEIO    = fuse.Status(unix.EIO)
	noSpace  = fuse.Status(unix.ENOSPC)
	maxName  = 255

	fdatasync = 1 // FUSE_FSYNC_FDATASYNC, of msync too
)

// files answers the kernel's requests about a store. There is one for each mount.
type files struct {
	fuse.RawFileSystem // answers ENOSYS
	*store

	// listings guards the fields below.
	listings sync.Mutex
	opened   map[uint64][]fuse.DirEntry // directories being read
	handle   uint64
}

var _ fuse.RawFileSystem = (*files)(nil)

func newFiles(s *store) *files {
	return &files{RawFileSystem: fuse.NewDefaultRawFileSystem(), store: s, opened: make(map[uint64][]fuse.DirEntry)}
}

// String is shown as the file system's type.
func (*files) String() string { return "powerloss" }

// enter takes the store for a request about a node. The caller unlocks it if the answer is OK.
func (f *files) enter(ino uint64) (*node, fuse.Status) {
	f.mu.Lock()
	n := f.nodes[ino]
	switch {
	case f.dead():
		f.mu.Unlock()
		return nil, ioEIO
	case n == nil:
		f.mu.Unlock()
		return nil, fuse.ENOENT
	}
	return n, fuse.OK
}

// broken tells what the machine below did, which no test asked for.
func (f *files) broken(err error) fuse.Status {
	f.log.LogAttrs(context.Background(), slog.LevelError, "disk: the medium's directory fails", slog.Any("err", err))
	return ioEIO
}

func (n *node) attr(out *fuse.Attr) {
	out.Ino, out.Mode, out.Uid, out.Gid = n.ino, n.mode, n.uid, n.gid
	out.Size, out.Blksize = uint64(n.size), pageSize
	out.Blocks = uint64(n.taken.count()) * (pageSize / sectorSize)
	out.Nlink = uint32(n.links)
	if n.is(unix.S_IFDIR) {
		out.Nlink = 2
	}
	if n.is(unix.S_IFLNK) {
		out.Size = uint64(len(n.target))
	}
	out.SetTimes(&n.mtime, &n.mtime, &n.ctime)
}

// show answers a node that the kernel will know from now on.
func (n *node) show(out *fuse.EntryOut) fuse.Status {
	n.refs++
	out.NodeId, out.Generation = n.ino, 1
	out.SetEntryTimeout(cacheFor)
	out.SetAttrTimeout(cacheFor)
	n.attr(&out.Attr)
	return fuse.OK
}

// Lookup finds a name.
func (f *files) Lookup(_ <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, status := f.enter(header.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	if len(name) > maxName {
		return fuse.Status(unix.ENAMETOOLONG)
	}
	n := dir.entries[name]
	if n == nil {
		return fuse.ENOENT
	}
	return n.show(out)
}

// Forget lets go of a node that the kernel does not know any more.
func (f *files) Forget(ino, times uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.nodes[ino]; n != nil && !f.dead() {
		n.refs -= min(n.refs, times)
		f.sweep(n)
	}
}

// GetAttr is stat.
func (f *files) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	out.SetTimeout(cacheFor)
	n.attr(&out.Attr)
	return fuse.OK
}

// SetAttr is chmod, chown, utimes and truncate.
func (f *files) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if !n.is(unix.S_IFREG) || size > maxFileSize {
			return fuse.EINVAL
		}
		if f.fails(OpWrite, n) {
			return ioEIO
		}
		f.setSize(n, int64(size))
	}
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&unix.S_IFMT | mode&^uint32(unix.S_IFMT)
	}
	if uid, ok := in.GetUID(); ok {
		n.uid = uid
	}
	if gid, ok := in.GetGID(); ok {
		n.gid = gid
	}
	if at, ok := in.GetMTime(); ok {
		n.mtime = at
	}
	n.ctime = time.Now()
	out.SetTimeout(cacheFor)
	n.attr(&out.Attr)
	return fuse.OK
}

// make adds a new node to a directory.
func (f *files) make(header *fuse.InHeader, name string, mode uint32, target string, out *fuse.EntryOut) fuse.Status {
	dir, status := f.enter(header.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	if dir.entries[name] != nil {
		return fuse.Status(unix.EEXIST)
	}
	n, err := f.newNode(mode, header.Uid, header.Gid)
	if err != nil {
		return f.broken(err)
	}
	n.target = target
	f.journal.add(f.name(dir, name, n))
	return n.show(out)
}

// Mknod makes a file, a socket or a pipe.
func (f *files) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.make(&in.InHeader, name, in.Mode, "", out)
}

// Mkdir makes a directory.
func (f *files) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.make(&in.InHeader, name, in.Mode|unix.S_IFDIR, "", out)
}

// Create makes a file and opens it.
func (f *files) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return f.make(&in.InHeader, name, in.Mode|unix.S_IFREG, "", &out.EntryOut)
}

// Symlink makes a symbolic link.
func (f *files) Symlink(_ <-chan struct{}, header *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return f.make(header, name, unix.S_IFLNK|0o777, target, out)
}

// Readlink says where a symbolic link points.
func (f *files) Readlink(_ <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	n, status := f.enter(header.NodeId)
	if status != fuse.OK {
		return nil, status
	}
	defer f.mu.Unlock()
	return []byte(n.target), fuse.OK
}

// Link gives a file a further name.
func (f *files) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	dir, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	n := f.nodes[in.Oldnodeid]
	switch {
	case n == nil:
		return fuse.ENOENT
	case n.is(unix.S_IFDIR):
		return fuse.EPERM
	case dir.entries[name] != nil:
		return fuse.Status(unix.EEXIST)
	}
	f.journal.add(f.name(dir, name, n))
	return n.show(out)
}

// Unlink removes a name.
func (f *files) Unlink(_ <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	return f.remove(header, name, func(n *node) error {
		if n.is(unix.S_IFDIR) {
			return unix.EISDIR
		}
		return nil
	})
}

// Rmdir removes an empty directory.
func (f *files) Rmdir(_ <-chan struct{}, header *fuse.InHeader, name string) fuse.Status {
	return f.remove(header, name, func(n *node) error {
		if !n.is(unix.S_IFDIR) {
			return unix.ENOTDIR
		}
		return n.empty()
	})
}

func (n *node) empty() error {
	if len(n.entries) > 0 {
		return unix.ENOTEMPTY
	}
	return nil
}

func (f *files) remove(header *fuse.InHeader, name string, may func(*node) error) fuse.Status {
	dir, status := f.enter(header.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	n := dir.entries[name]
	if n == nil {
		return fuse.ENOENT
	}
	if err := may(n); err != nil {
		return fuse.ToStatus(err)
	}
	f.journal.add(f.name(dir, name, nil))
	return fuse.OK
}

// Rename moves a name, in one step also on the medium.
func (f *files) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	dir, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	into := f.nodes[in.Newdir]
	if into == nil || dir.entries[from] == nil {
		return fuse.ENOENT
	}
	n, old := dir.entries[from], into.entries[to]
	switch {
	case in.Flags&^uint32(unix.RENAME_NOREPLACE) != 0:
		return fuse.EINVAL
	case old == n:
		return fuse.OK
	case old != nil && in.Flags != 0:
		return fuse.Status(unix.EEXIST)
	case old != nil && old.is(unix.S_IFDIR):
		if err := old.empty(); err != nil {
			return fuse.ToStatus(err)
		}
	}
	f.journal.add(f.name(into, to, n), f.name(dir, from, nil))
	return fuse.OK
}

// Open opens a file. What the kernel has cached of it stays good.
func (f *files) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	_, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

// Release closes a file.
func (*files) Release(<-chan struct{}, *fuse.ReleaseIn) {}

// Flush is asked for at each close: that syncs nothing.
func (*files) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// Read reads.
func (f *files) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return nil, status
	}
	defer f.mu.Unlock()
	if f.fails(OpRead, n) {
		return nil, ioEIO
	}
	count, err := n.read(buf[:min(len(buf), int(in.Size))], int64(in.Offset))
	if err != nil {
		return nil, f.broken(err)
	}
	return fuse.ReadResultData(buf[:count]), fuse.OK
}

// Write takes data into memory. The kernel sends mapped pages here as well, when it writes them back.
func (f *files) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return 0, status
	}
	defer f.mu.Unlock()
	if f.fails(OpWrite, n) {
		return 0, ioEIO
	}
	off, end := int64(in.Offset), int64(in.Offset)+int64(len(data))
	if status := f.room(n, off, end); status != fuse.OK {
		return 0, status
	}
	if err := n.write(data, off); err != nil {
		return 0, f.broken(err)
	}
	n.mtime = time.Now()
	return uint32(len(data)), fuse.OK
}

// room takes the pages of [off, end) for a file.
func (f *files) room(n *node, off, end int64) fuse.Status {
	if end > maxFileSize {
		return fuse.Status(unix.EFBIG)
	}
	wants := n.wants(off, end)
	if wants > 0 && (f.used+wants)*pageSize > f.mode.capacity() {
		f.stats.Full++
		return noSpace
	}
	n.take(off, end)
	f.used += wants
	return fuse.OK
}

// Fallocate takes room for a file.
func (f *files) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	n, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	if in.Mode&^uint32(unix.FALLOC_FL_KEEP_SIZE) != 0 {
		return fuse.Status(unix.EOPNOTSUPP)
	}
	off, end := int64(in.Offset), int64(in.Offset+in.Length)
	if status := f.room(n, off, end); status != fuse.OK {
		return status
	}
	if in.Mode == 0 && end > n.size {
		f.setSize(n, end)
	} else {
		f.journal.add(entry{file: n, size: n.size})
	}
	return fuse.OK
}

// Fsync is fsync, fdatasync and msync.
func (f *files) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return f.syncNode(in, func(s *Stats) { s.Syncs++ })
}

// FsyncDir makes names last.
func (f *files) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return f.syncNode(in, func(s *Stats) { s.DirSyncs++ })
}

func (f *files) syncNode(in *fuse.FsyncIn, count func(*Stats)) fuse.Status {
	n, status := f.enter(in.NodeId)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	count(&f.stats)
	if f.mode.Lies {
		f.stats.Lies++
		return fuse.OK
	}
	if f.fails(OpSync, n) {
		n.lose()
		return ioEIO
	}
	if took := f.mode.syncTime(len(n.dirty())); took > 0 && !f.wait(took) {
		return ioEIO
	}
	if err := f.sync(n, in.FsyncFlags&fdatasync != 0); err != nil {
		return f.broken(err)
	}
	return fuse.OK
}

// wait lets others do what they do while the device works for so long, and answers false if the power goes. An interrupted
// system call does not hurry a device.
func (f *files) wait(long time.Duration) bool {
	off := f.off
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case f.device <- struct{}{}:
		defer func() { <-f.device }()
	case <-off:
		return false
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-off:
	}
	return !f.dead()
}

// OpenDir reads a directory.
func (f *files) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f.listings.Lock()
	defer f.listings.Unlock()
	f.handle++
	out.Fh = f.handle
	return fuse.OK
}

// ReadDir goes on with a directory as it was when it was read from the start.
func (f *files) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	if in.Offset == 0 {
		dir, status := f.enter(in.NodeId)
		if status != fuse.OK {
			return status
		}
		listing := dir.list()
		f.mu.Unlock()
		f.listings.Lock()
		f.opened[in.Fh] = listing
		f.listings.Unlock()
	}
	f.listings.Lock()
	listing := f.opened[in.Fh]
	f.listings.Unlock()
	for _, e := range listing[min(in.Offset, uint64(len(listing))):] {
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

func (n *node) list() []fuse.DirEntry {
	all := []fuse.DirEntry{{Name: ".", Ino: n.ino, Mode: n.mode}, {Name: "..", Mode: unix.S_IFDIR}}
	for _, name := range slices.SortedFunc(maps.Keys(n.entries), cmp.Compare) {
		child := n.entries[name]
		all = append(all, fuse.DirEntry{Name: name, Ino: child.ino, Mode: child.mode})
	}
	for i := range all {
		all[i].Off = uint64(i + 1)
	}
	return all
}

// ReleaseDir closes a directory.
func (f *files) ReleaseDir(in *fuse.ReleaseIn) {
	f.listings.Lock()
	defer f.listings.Unlock()
	delete(f.opened, in.Fh)
}

// StatFs says how much room there is.
func (f *files) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	if _, status := f.enter(in.NodeId); status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	blocks := f.mode.capacity() / pageSize
	free := max(0, blocks-f.used)
	*out = fuse.StatfsOut{
		Blocks: uint64(blocks), Bfree: uint64(free), Bavail: uint64(free), Bsize: pageSize, Frsize: pageSize,
		Files: 1 << 20, Ffree: 1<<20 - uint64(len(f.nodes)), NameLen: maxName,
	}
	return fuse.OK
}
