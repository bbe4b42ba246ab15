package qemu

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// unpacked is one entry as a reader of the format finds it.
type unpacked struct {
	name        string
	inode, mode uint64
	data        string
}

// unpack reads an archive as the kernel's documentation of the form describes it, by code that shares nothing with the writer.
func unpack(b []byte) (all []unpacked, err error) {
	field := func(header []byte, i int) uint64 {
		n, e := strconv.ParseUint(string(header[6+8*i:14+8*i]), 16, 32)
		if e != nil {
			err = e
		}
		return n
	}
	up := func(n uint64) uint64 { return (n + 3) &^ 3 }
	for at := uint64(0); ; {
		if at%4 != 0 || uint64(len(b)) < at+110 {
			return nil, fmt.Errorf("no header at %d of %d", at, len(b))
		}
		header := b[at : at+110]
		if string(header[:6]) != "070701" {
			return nil, fmt.Errorf("not the magic of newc at %d: %q", at, header[:6])
		}
		size, length := field(header, 6), field(header, 11)
		name := string(b[at+110 : at+110+length])
		at = up(at + 110 + length)
		if err != nil || !strings.HasSuffix(name, "\x00") {
			return nil, fmt.Errorf("header of %q: %v", name, err)
		}
		name = name[:len(name)-1]
		if name == "TRAILER!!!" {
			if rest := b[at:]; len(rest) > 0 {
				return nil, fmt.Errorf("%d bytes behind the trailer", len(rest))
			}
			return all, nil
		}
		all = append(all, unpacked{name, field(header, 0), field(header, 1), string(b[at : at+size])})
		at = up(at + size)
	}
}

func write(t interface{ Fatal(...any) }, files []File) []byte {
	var b bytes.Buffer
	if err := WriteArchive(&b, files); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestArchiveBytes holds the smallest archive to the letter.
func TestArchiveBytes(t *testing.T) {
	got := write(t, []File{{"a", 0o755, []byte("hello")}})
	want := "070701" + "00000001" + "000081ED" + "00000000" + "00000000" + "00000001" + "00000000" + "00000005" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000002" + "00000000" + "a\x00" + "hello\x00\x00\x00" +
		"070701" + "00000000" + "00000000" + "00000000" + "00000000" + "00000001" + "00000000" + "00000000" +
		"00000000" + "00000000" + "00000000" + "00000000" + "0000000B" + "00000000" + "TRAILER!!!\x00" + "\x00\x00\x00"
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", hex.Dump(got), hex.Dump([]byte(want)))
	}
}

// TestArchiveProperties: whatever goes in comes out once, each folder before what lies in it, every entry with an inode of its
// own; and the order in which the files were given changes nothing.
func TestArchiveProperties(t *testing.T) {
	name := rapid.StringMatching(`[a-d]{1,3}(/[a-d]{1,3}){0,3}\.f`) // no file's name is a folder's
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]File{}
		var files []File
		for _, n := range rapid.SliceOfNDistinct(name, 0, 12, rapid.ID).Draw(t, "names") {
			f := File{n, fs.FileMode(rapid.IntRange(0, 0o777).Draw(t, "mode")), rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "data")}
			want[n], files = f, append(files, f)
		}
		archive := write(t, files)
		slices.Reverse(files)
		if !bytes.Equal(archive, write(t, files)) {
			t.Fatal("the order of the files changes the archive")
		}
		all, err := unpack(archive)
		if err != nil {
			t.Fatal(err)
		}
		seen, inodes := map[string]bool{".": true}, map[uint64]bool{}
		for _, u := range all {
			if seen[u.name] || inodes[u.inode] || !seen[path.Dir(u.name)] {
				t.Fatalf("%s with inode %d: twice, or before its folder", u.name, u.inode)
			}
			seen[u.name], inodes[u.inode] = true, true
			if f, ok := want[u.name]; ok {
				if u.mode != 0o100000|uint64(f.Mode) || u.data != string(f.Data) {
					t.Fatalf("%+v came out as %+v", f, u)
				}
				delete(want, u.name)
			} else if u.mode != 0o040755 {
				t.Fatalf("a folder of mode %o: %s", u.mode, u.name)
			}
		}
		if len(want) > 0 {
			t.Fatalf("lost: %v", want)
		}
	})
}

func TestArchiveRefuses(t *testing.T) {
	for name, files := range map[string][]File{
		"a rooted name":       {{Name: "/init"}},
		"a way out":           {{Name: "../init"}},
		"no name":             {{Name: ""}},
		"the root":            {{Name: "."}},
		"one name twice":      {{Name: "a"}, {Name: "a"}},
		"a file and a folder": {{Name: "a"}, {Name: "a/b"}},
		"a folder and a file": {{Name: "a/b"}, {Name: "a"}},
	} {
		if err := WriteArchive(&bytes.Buffer{}, files); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
