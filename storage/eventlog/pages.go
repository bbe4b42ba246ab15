package eventlog

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// readOn is how many bytes of records are read until their pages are let go.
const readOn = 12 << 20

// letGo tells the kernel that the pages of the tables below a directory are not needed now. Badger reads tables through memory
// maps, so without it whatever was read or written once counts as this process's memory until another needs it. The advice
// changes no content, whatever stands at an address by now.
func letGo(dir string) error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		at := strings.IndexByte(line, '/')
		if at < 0 || !strings.HasPrefix(line[at:], dir) || !strings.HasSuffix(line, ".sst") {
			continue
		}
		var from, upto uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &upto); err != nil {
			return fmt.Errorf("letting go of pages: %q: %w", line, err)
		}
		if _, _, no := unix.Syscall(unix.SYS_MADVISE, from, upto-from, unix.MADV_PAGEOUT); no != 0 {
			return fmt.Errorf("letting go of pages: %w", no)
		}
	}
	return nil
}

// realPath is a directory's name as the kernel shows it.
func realPath(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}
