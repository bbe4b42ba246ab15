package disk

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pageSize    = 4096
	sectorSize  = 512
	allSectors  = 1<<(pageSize/sectorSize) - 1
	maxFileSize = 1 << 40
)

// page is a page of a file that is not on the medium as it stands here.
type page struct {
	data  [pageSize]byte
	dirty uint8 // a bit for each sector that a sync has to write; none = a sync failed, and the page is lost at a cut
}

// pageSet holds numbers of pages.
type pageSet []uint64

func (s pageSet) has(i int64) bool { return i>>6 < int64(len(s)) && s[i>>6]>>(i&63)&1 == 1 }

// add answers whether the page is new in the set.
func (s *pageSet) add(i int64) bool {
	if s.has(i) {
		return false
	}
	for int64(len(*s)) <= i>>6 {
		*s = append(*s, 0)
	}
	(*s)[i>>6] |= 1 << (i & 63)
	return true
}

// cut removes all pages from number i on.
func (s *pageSet) cut(i int64) {
	if i>>6 >= int64(len(*s)) {
		return
	}
	(*s)[i>>6] &= 1<<(i&63) - 1
	*s = (*s)[:i>>6+1]
}

func (s *pageSet) join(other pageSet) {
	for len(*s) < len(other) {
		*s = append(*s, 0)
	}
	for i, word := range other {
		(*s)[i] |= word
	}
}

func (s pageSet) count() (n int64) {
	for _, word := range s {
		n += int64(bits.OnesCount64(word))
	}
	return n
}

// pagesOf is how many pages so many bytes take.
func pagesOf(size int64) int64 { return (size + pageSize - 1) / pageSize }

// node is one inode: what programs see of it now, and what the medium has.
type node struct {
	ino          uint64
	mode         uint32 // type and permissions
	uid, gid     uint32
	mtime, ctime time.Time
	name         string // the last one that it was given, for Fault and Stats
	target       string // of a symbolic link

	refs   uint64 // the kernel's
	links  int    // names
	lasts  int    // names on the medium
	queued int    // changes in the journal that speak of it

	entries map[string]*node // of a directory
	lasting map[string]*node // of a directory, on the medium

	touched bool // its time of change has not reached the medium
	size    int64
	pages   map[int64]*page
	taken   pageSet // pages that count as used
	floor   int64   // nothing on the medium from here on is part of the file: it was truncated since the last sync

	medium  *os.File // of a regular file
	msize   int64    // on the medium
	written pageSet  // pages with data on the medium
	kept    pageSet  // pages that count as used after a cut
}

func (n *node) is(kind uint32) bool { return n.mode&unix.S_IFMT == kind }

// read fills b with what the file has at off and answers how much that is.
func (n *node) read(b []byte, off int64) (int, error) {
	b = b[:max(0, min(int64(len(b)), n.size-off))]
	for at := 0; at < len(b); {
		i, in := (off+int64(at))/pageSize, (off+int64(at))%pageSize
		part := b[at:min(len(b), at+int(pageSize-in))]
		if p := n.pages[i]; p != nil {
			copy(part, p.data[in:])
		} else if err := n.readMedium(part, off+int64(at)); err != nil {
			return 0, err
		}
		at += len(part)
	}
	return len(b), nil
}

// readMedium fills b from the medium, and with zeros where the medium has nothing of this file.
func (n *node) readMedium(b []byte, off int64) error {
	clear(b)
	b = b[:max(0, min(int64(len(b)), n.floor-off))]
	if len(b) == 0 {
		return nil
	}
	if _, err := n.medium.ReadAt(b, off); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the medium: %w", err)
	}
	return nil
}

// wants is how many pages the file takes more if it holds data in [off, end).
func (n *node) wants(off, end int64) (count int64) {
	for i := off / pageSize; i < pagesOf(end); i++ {
		if !n.taken.has(i) {
			count++
		}
	}
	return count
}

func (n *node) take(off, end int64) {
	for i := off / pageSize; i < pagesOf(end); i++ {
		n.taken.add(i)
	}
}

// write puts b at off, in memory.
func (n *node) write(b []byte, off int64) error {
	for len(b) > 0 {
		i, in := off/pageSize, off%pageSize
		part := b[:min(int64(len(b)), pageSize-in)]
		p := n.pages[i]
		if p == nil {
			p = new(page)
			if err := n.readMedium(p.data[:], i*pageSize); err != nil {
				return err
			}
			n.pages[i] = p
		}
		copy(p.data[in:], part)
		for s := in / sectorSize; s <= (in+int64(len(part))-1)/sectorSize; s++ {
			p.dirty |= 1 << s
		}
		off += int64(len(part))
		b = b[len(part):]
		n.size = max(n.size, off)
	}
	n.touched = true
	return nil
}

// truncate sets the size, in memory. It answers how many pages are free again.
func (n *node) truncate(size int64) (freed int64) {
	if size < n.size {
		before := n.taken.count()
		maps.DeleteFunc(n.pages, func(i int64, _ *page) bool { return i >= pagesOf(size) })
		n.taken.cut(pagesOf(size))
		if p := n.pages[size/pageSize]; p != nil {
			clear(p.data[size%pageSize:])
		}
		n.floor = min(n.floor, size)
		freed = before - n.taken.count()
	}
	n.size = size
	return freed
}

// resize sets the size on the medium.
func (n *node) resize(size int64) error {
	if err := n.medium.Truncate(size); err != nil {
		return fmt.Errorf("truncating on the medium: %w", err)
	}
	n.written.cut(pagesOf(size))
	n.msize = size
	n.keep()
	return nil
}

func (n *node) keep() { n.kept = slices.Clone(n.taken) }

// dirty are the numbers of the pages that a sync has to write, ascending.
func (n *node) dirty() (numbers []int64) {
	for i, p := range n.pages {
		if p.dirty != 0 {
			numbers = append(numbers, i)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// land writes some sectors of a page to the medium. It answers whether the medium had no such page before.
func (n *node) land(i int64, sectors uint8) (fresh bool, err error) {
	p := n.pages[i]
	for s := range int64(pageSize / sectorSize) {
		if sectors>>s&1 == 0 {
			continue
		}
		if _, err := n.medium.WriteAt(p.data[s*sectorSize:(s+1)*sectorSize], i*pageSize+s*sectorSize); err != nil {
			return false, fmt.Errorf("writing to the medium: %w", err)
		}
	}
	return n.written.add(i), nil
}

// change is what a sync does to a file's inode.
type change struct {
	pages  int64 // of data that were written
	inode  bool  // its size or its extents have changed
	blocks bool  // some were taken or freed
}

// sync brings the file to the medium.
func (n *node) sync() (c change, err error) {
	if n.floor < n.msize {
		c.inode, c.blocks = true, true
		if err := n.resize(n.floor); err != nil {
			return c, err
		}
	}
	for _, i := range n.dirty() {
		c.blocks = c.blocks || !n.kept.has(i)
		fresh, err := n.land(i, allSectors)
		if err != nil {
			return c, err
		}
		delete(n.pages, i)
		c.pages++
		c.inode = c.inode || fresh
	}
	c.inode = c.inode || n.msize != n.size
	if err := n.resize(n.size); err != nil { // also cuts off what the last page has beyond the end
		return c, err
	}
	n.floor = n.size
	return c, nil
}

// lose makes dirty pages clean without writing them, as the kernel does when a sync has failed.
func (n *node) lose() {
	for _, p := range n.pages {
		p.dirty = 0
	}
}

// forget drops what is not on the medium.
func (n *node) forget() {
	n.refs, n.queued, n.touched = 0, 0, false
	n.entries = maps.Clone(n.lasting)
	n.links = n.lasts
	n.size, n.floor = n.msize, n.msize
	n.pages = make(map[int64]*page)
	n.taken = slices.Clone(n.kept)
	n.taken.join(n.written)
}
