package disk

import "slices"

// Pages of metadata that a change touches; see the package comment.
const (
	commitPages   = 2 // of each commit: descriptor and commit record
	blockPages    = 2 // if blocks were taken or freed
	namePages     = 3 // if names changed
	inodesPerPage = 16
)

// metadata is what of a file system's own pages was changed. It is written twice: to the journal, and later in its place.
type metadata struct {
	inodes map[uint64]bool // pages with inodes
	blocks bool
	names  bool
}

func (m *metadata) touch(n *node) {
	if m.inodes == nil {
		m.inodes = make(map[uint64]bool)
	}
	m.inodes[n.ino/inodesPerPage] = true
}

func (m *metadata) join(other metadata) {
	for page := range other.inodes {
		if m.inodes == nil {
			m.inodes = make(map[uint64]bool)
		}
		m.inodes[page] = true
	}
	m.blocks, m.names = m.blocks || other.blocks, m.names || other.names
}

func (m *metadata) pages() int64 {
	count := len(m.inodes)
	if m.blocks {
		count += blockPages
	}
	if m.names {
		count += namePages
	}
	return int64(count)
}

// entry is a change of a name or of a size that has not reached the medium.
type entry struct {
	turn int // entries of the same turn go together

	dir   *node // in which name now means child, or nothing if that is nil
	name  string
	child *node

	file *node // or whose size this now is
	size int64
}

func (e entry) nodes() []*node {
	all := slices.DeleteFunc([]*node{e.dir, e.child, e.file}, func(n *node) bool { return n == nil })
	return slices.Compact(all)
}

func (e entry) speaksOf(n *node) bool { return slices.Contains(e.nodes(), n) }

// journal is what changed of names and sizes and has not reached the medium, in order.
type journal struct {
	entries []entry
	turn    int
}

// add notes changes that go together.
func (j *journal) add(entries ...entry) {
	j.turn++
	for _, e := range entries {
		e.turn = j.turn
		for _, n := range e.nodes() {
			n.queued++
		}
		j.entries = append(j.entries, e)
	}
}

// speaksOf reports whether there is anything about a node.
func (j *journal) speaksOf(n *node) bool {
	return n.queued > 0 && slices.ContainsFunc(j.entries, func(e entry) bool { return e.speaksOf(n) })
}

// pick takes out the entries of the turns in which one fits.
func (j *journal) pick(fits func(entry) bool) (picked []entry) {
	turns := make(map[int]bool)
	for _, e := range j.entries {
		turns[e.turn] = turns[e.turn] || fits(e)
	}
	j.entries = slices.DeleteFunc(j.entries, func(e entry) bool {
		if turns[e.turn] {
			picked = append(picked, e)
		}
		return turns[e.turn]
	})
	return picked
}

// apply does to the medium what an entry says. It answers the nodes that may not be needed any more.
func (e entry) apply() (orphans []*node, err error) {
	for _, n := range e.nodes() {
		n.queued--
	}
	if e.file != nil {
		return nil, e.file.resize(e.size)
	}
	if old := e.dir.lasting[e.name]; old != nil {
		old.lasts--
		orphans = append(orphans, old)
	}
	delete(e.dir.lasting, e.name)
	if e.child != nil {
		e.dir.lasting[e.name] = e.child
		e.child.lasts++
		e.child.keep()
		orphans = append(orphans, e.child)
	}
	return orphans, nil
}
