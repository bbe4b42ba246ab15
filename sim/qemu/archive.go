package qemu

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// File is one file of an initramfs.
type File struct {
	// Name is its path from the root, without a slash before it, like "bin/watchpostd".
	Name string
	// Mode holds the permissions; a file is a regular one.
	Mode fs.FileMode
	// Data is what is in it.
	Data []byte
}

// File types of an archive's mode, as in stat(2).
const (
	typeDirectory = 0o040000
	typeRegular   = 0o100000
)

// WriteArchive writes an initramfs in the form "newc" of cpio (the kernel's Documentation/driver-api/early-userspace/
// buffer-format.rst): the files in the order of their names, with the folders that they lie in. The same files make the same
// bytes: owner, times and inode numbers say nothing of the machine.
func WriteArchive(w io.Writer, files []File) error {
	entries := map[string]entry{}
	for _, f := range files {
		if !fs.ValidPath(f.Name) || f.Name == "." {
			return fmt.Errorf("%q is no name of a file in an archive", f.Name)
		}
		if _, twice := entries[f.Name]; twice {
			return fmt.Errorf("%s is in the archive twice", f.Name)
		}
		entries[f.Name] = entry{typeRegular | uint32(f.Mode.Perm()), f.Data}
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if e, ok := entries[dir]; ok && e.mode&typeDirectory == 0 {
				return fmt.Errorf("%s is a file and a folder", dir)
			}
			entries[dir] = entry{typeDirectory | 0o755, nil}
		}
	}
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names) // and so each folder comes before what is in it
	for i, name := range names {
		if err := entries[name].write(w, uint32(i+1), name); err != nil {
			return err
		}
	}
	return entry{}.write(w, 0, "TRAILER!!!")
}

// entry is a file or a folder.
type entry struct {
	mode uint32
	data []byte
}

// write writes one header of 110 bytes, the name and the data, each filled up with zeros to a multiple of four.
func (e entry) write(w io.Writer, inode uint32, name string) error {
	if int64(len(e.data)) > 1<<32-1 {
		return fmt.Errorf("%s is too long for an archive", name)
	}
	const header = 110
	fields := []uint32{inode, e.mode, 0, 0, 1, 0, uint32(len(e.data)), 0, 0, 0, 0, uint32(len(name) + 1), 0}
	var b strings.Builder
	b.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(&b, "%08X", f)
	}
	b.WriteString(name)
	b.WriteString("\x00" + padding(header+len(name)+1))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing %s into the archive: %w", name, err)
	}
	if _, err := w.Write(e.data); err != nil {
		return fmt.Errorf("writing %s into the archive: %w", name, err)
	}
	if _, err := io.WriteString(w, padding(len(e.data))); err != nil {
		return fmt.Errorf("writing %s into the archive: %w", name, err)
	}
	return nil
}

func padding(n int) string { return "\x00\x00\x00"[:(4-n%4)%4] }
