package disk

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const rootIno = 1

// store is a disk without its mount: what programs see, what the medium has, and what is between.
type store struct {
	dir    string // of the medium's files
	strict bool
	seed   uint64
	log    *slog.Logger
	device chan struct{} // holds one while it syncs

	// mu guards the fields below and all nodes.
	mu      sync.Mutex
	mode    Mode
	faults  []*armed
	off     chan struct{} // closed while there is no power
	nodes   map[uint64]*node
	last    uint64
	journal journal
	// unplaced is what of the metadata stands in the medium's journal only.
	unplaced metadata
	used     int64 // pages
	stats    Stats
}

func newStore(opt Options, dir string, log *slog.Logger) *store {
	s := &store{
		dir: dir, strict: opt.Strict, seed: opt.Seed, log: log, device: make(chan struct{}, 1),
		off: make(chan struct{}), nodes: make(map[uint64]*node),
	}
	s.setMode(opt.Mode)
	now := time.Now()
	root := &node{ino: rootIno, mode: unix.S_IFDIR | 0o755, mtime: now, ctime: now, lasts: 1}
	root.entries, root.lasting = map[string]*node{}, map[string]*node{}
	s.nodes[rootIno], s.last = root, rootIno
	return s
}

func (s *store) setMode(m Mode) {
	s.mode, s.faults = m, nil
	for _, f := range m.Faults {
		s.faults = append(s.faults, &armed{Fault: f})
	}
}

// fails reports whether an operation on a node fails by a Fault.
func (s *store) fails(op Op, n *node) bool {
	failed := false
	for _, f := range s.faults {
		if f.hits(op, n.name) {
			failed = true
		}
	}
	if failed {
		s.stats.Refused++
	}
	return failed
}

// dead reports whether there is no power.
func (s *store) dead() bool {
	select {
	case <-s.off:
		return true
	default:
		return false
	}
}

// newNode makes an inode, with its file on the medium if it is a regular one.
func (s *store) newNode(mode, uid, gid uint32) (*node, error) {
	now := time.Now()
	n := &node{ino: s.last + 1, mode: mode, uid: uid, gid: gid, mtime: now, ctime: now, pages: make(map[int64]*page)}
	switch {
	case n.is(unix.S_IFDIR):
		n.entries, n.lasting = make(map[string]*node), make(map[string]*node)
	case n.is(unix.S_IFREG):
		f, err := os.OpenFile(s.path(n), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, fmt.Errorf("making a file of the medium: %w", err)
		}
		n.medium = f
	}
	s.last++
	s.nodes[n.ino] = n
	return n, nil
}

func (s *store) path(n *node) string { return filepath.Join(s.dir, strconv.FormatUint(n.ino, 10)) }

// sweep lets go of a node that nobody needs any more. Its room is free with its last name, even if it is open: the kernel
// says too late that it was closed.
func (s *store) sweep(n *node) {
	if n.links > 0 || n.ino == rootIno {
		return
	}
	s.used -= n.taken.count()
	n.taken = nil
	if n.refs > 0 || n.lasts > 0 || n.queued > 0 {
		return
	}
	delete(s.nodes, n.ino)
	if n.medium == nil {
		return
	}
	if err := cmp.Or(n.medium.Close(), os.Remove(s.path(n))); err != nil {
		s.log.LogAttrs(context.Background(), slog.LevelError, "disk: a file of the medium stays behind", slog.Any("err", err))
	}
	n.medium = nil
}

// name lets a name of dir mean child, or nothing. The entry for the journal is answered.
func (s *store) name(dir *node, name string, child *node) entry {
	if old := dir.entries[name]; old != nil {
		old.links--
		old.ctime = time.Now()
		defer s.sweep(old)
	}
	delete(dir.entries, name)
	if child != nil {
		dir.entries[name] = child
		child.name = name
		child.links++
		child.ctime = time.Now()
	}
	dir.mtime = time.Now()
	dir.ctime = dir.mtime
	return entry{dir: dir, name: name, child: child}
}

// setSize truncates or extends a file.
func (s *store) setSize(n *node, size int64) {
	s.used -= n.truncate(size)
	n.mtime = time.Now()
	s.journal.add(entry{file: n, size: size})
}

// sync brings a file or a directory to the medium, with as much of the journal as the model asks for, and its time of change
// unless dataOnly.
func (s *store) sync(n *node, dataOnly bool) error {
	c, err := s.syncData(n)
	if err != nil {
		return err
	}
	c.inode = c.inode || n.touched && !dataOnly
	var picked []entry
	switch {
	case s.strict:
		picked = s.journal.pick(func(e entry) bool { return e.file == n || e.dir == n })
	case c.inode || s.journal.speaksOf(n):
		picked = s.journal.pick(func(entry) bool { return true })
	}
	return s.commit(picked, map[*node]change{n: c})
}

// settle brings everything to the medium, as the kernel's flusher does in time.
func (s *store) settle() error {
	synced := make(map[*node]change)
	for _, n := range s.sorted() {
		c, err := s.syncData(n)
		if err != nil {
			return err
		}
		c.inode = c.inode || n.touched
		synced[n] = c
	}
	if err := s.commit(s.journal.pick(func(entry) bool { return true }), synced); err != nil {
		return err
	}
	s.stats.JournalBytes += s.unplaced.pages() * pageSize
	s.unplaced = metadata{}
	return nil
}

// syncData brings what a file holds to the medium. A directory holds nothing but names.
func (s *store) syncData(n *node) (change, error) {
	if n.medium == nil {
		return change{}, nil
	}
	c, err := n.sync()
	if err != nil || c.pages == 0 {
		return c, err
	}
	class := cmp.Or(filepath.Ext(n.name), n.name)
	if s.stats.ByName == nil {
		s.stats.ByName = make(map[string]int64)
	}
	s.stats.ByName[class] += c.pages * pageSize
	s.stats.DataBytes += c.pages * pageSize
	return c, nil
}

// commit writes entries of the journal together with the inodes of files that were synced.
func (s *store) commit(picked []entry, synced map[*node]change) error {
	var m metadata
	for n, c := range synced {
		if c.inode {
			m.touch(n)
			n.touched = false
		}
		m.blocks = m.blocks || c.blocks
	}
	var orphans []*node
	for _, e := range picked {
		if e.file == nil {
			m.names = true
			old := e.dir.lasting[e.name]
			m.blocks = m.blocks || old != nil && old.msize > 0
		} else {
			m.touch(e.file)
			if _, ok := synced[e.file]; ok { // its size is newer than the entry
				e.size = e.file.size
			}
			m.blocks = m.blocks || e.size < e.file.msize
		}
		more, err := e.apply()
		if err != nil {
			return err
		}
		orphans = append(orphans, more...)
	}
	for _, n := range orphans {
		s.sweep(n)
	}
	if pages := m.pages(); pages > 0 {
		s.stats.Commits++
		s.stats.JournalBytes += (commitPages + pages) * pageSize
		s.unplaced.join(m)
	}
	return nil
}

func (s *store) sorted() []*node {
	return slices.SortedFunc(maps.Values(s.nodes), func(a, b *node) int { return cmp.Compare(a.ino, b.ino) })
}

// cutPower drops what did not reach the medium, or if torn, lets a part of it through. Nothing reaches it after that.
func (s *store) cutPower(torn bool) error {
	close(s.off)
	s.stats.Cuts++
	if torn {
		if err := s.tear(rand.New(rand.NewPCG(s.seed, uint64(s.stats.Cuts)))); err != nil {
			return err
		}
	}
	s.stats.LostNames += len(s.journal.entries)
	for _, n := range s.nodes {
		s.stats.LostPages += len(n.dirty())
	}
	return nil
}

// tear lets a part of what was not synced reach the medium.
func (s *store) tear(random *rand.Rand) error {
	if n := len(s.journal.entries); n > 0 && !s.strict {
		last := s.journal.entries[random.IntN(n)].turn
		if random.IntN(2) == 0 { // every other time as if the journal had just been committed
			last = s.journal.turn
		}
		for _, e := range s.journal.pick(func(e entry) bool { return e.turn <= last }) {
			if _, err := e.apply(); err != nil { // what it leaves over is swept when the power is back
				return err
			}
		}
	}
	for _, n := range s.sorted() {
		if n.floor < n.msize || n.medium == nil { // its new pages go to blocks that the medium does not know as its own
			continue
		}
		if err := s.tearFile(n, random); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) tearFile(n *node, random *rand.Rand) error {
	var chosen []int64
	for _, i := range n.dirty() {
		if random.IntN(2) == 0 {
			chosen = append(chosen, i)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	half := chosen[random.IntN(len(chosen))]
	size := n.msize
	for _, i := range chosen {
		sectors := n.pages[i].dirty
		if i == half {
			sectors &= uint8(random.IntN(allSectors))
		}
		if _, err := n.land(i, sectors); err != nil {
			return err
		}
		if sectors == n.pages[i].dirty {
			delete(n.pages, i)
			s.stats.Landed++
		} else {
			n.pages[i].dirty &^= sectors
			s.stats.Torn++
		}
		if sectors != 0 {
			size = max(size, min(n.size, (i+1)*pageSize))
		}
	}
	return n.resize(size)
}

// restorePower makes what the medium has what programs see.
func (s *store) restorePower() {
	s.journal = journal{}
	reached := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		reached[n] = true
		for _, child := range n.lasting {
			if !reached[child] {
				walk(child)
			}
		}
	}
	walk(s.nodes[rootIno])
	s.used = 0
	for _, n := range s.sorted() {
		if !reached[n] {
			n.lasts = 0
		}
		n.forget()
		if !reached[n] {
			n.taken = nil
			s.sweep(n)
			continue
		}
		s.used += n.taken.count()
	}
	s.off = make(chan struct{})
}
