package eventlog

import (
	"errors"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/klauspost/compress/snappy"
	"golang.org/x/sys/unix"
)

// A sector that cannot be read may fault within assembly, whose frames the runtime cannot move: if the stack had to grow while
// the panic is handled, the process would end.
func TestFaultOnAShortStack(t *testing.T) {
	page := unix.Getpagesize()
	b, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	noise := make([]byte, 2*page)
	for i := range noise {
		noise[i] = byte(i * i * 31 >> 3)
	}
	block := snappy.Encode(nil, noise)
	start := page - 100
	copy(b[start:], block[:min(len(block), 2*page-start)])
	if err := unix.Mprotect(b[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // its scan is the other thing that such a frame does not survive
	for depth := range 400 {                         // each a little deeper into a fresh stack
		var wg sync.WaitGroup
		wg.Go(func() {
			err := atDepth(depth, func() error {
				return sound(func() error { _, err := snappy.Decode(make([]byte, 2*page), b[start:start+len(block)]); return err })
			})
			if !errors.Is(err, errDamage) {
				t.Errorf("depth %d: %v", depth, err)
			}
		})
		wg.Wait()
	}
}

//go:noinline
func atDepth(n int, do func() error) error {
	var room [16]byte
	if n == 0 {
		return do()
	}
	room[n%16] = 1
	err := atDepth(n-1, do)
	room[0]++
	return err
}
