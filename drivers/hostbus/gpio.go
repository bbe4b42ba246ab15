package hostbus

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes and bits of the GPIO character device, version 2 (include/uapi/linux/gpio.h).
const (
	gpioNameSize   = 32
	gpioLinesMax   = 64
	gpioAttrsMax   = 10
	gpioBufferMax  = 16 * gpioLinesMax // events that the kernel keeps for a request
	gpioFlagUsed   = 1 << 0
	gpioFlagInput  = 1 << 2
	gpioFlagOutput = 1 << 3
	gpioFlagRising = 1 << 4
	gpioFlagFall   = 1 << 5
	gpioAttrValues = 2
	gpioAttrBounce = 3
	gpioRising     = 1
	gpioEventSize  = 48
)

type gpioChipInfo struct {
	Name  [gpioNameSize]byte
	Label [gpioNameSize]byte
	Lines uint32
}

// gpioAttr has a union in Value: the debounce period is its first four bytes.
type gpioAttr struct {
	ID      uint32
	Padding uint32
	Value   uint64
}

type gpioConfigAttr struct {
	Attr gpioAttr
	Mask uint64
}

type gpioLineConfig struct {
	Flags    uint64
	NumAttrs uint32
	Padding  [5]uint32
	Attrs    [gpioAttrsMax]gpioConfigAttr
}

type gpioLineRequest struct {
	Offsets    [gpioLinesMax]uint32
	Consumer   [gpioNameSize]byte
	Config     gpioLineConfig
	NumLines   uint32
	BufferSize uint32
	Padding    [5]uint32
	FD         int32
}

type gpioLineInfo struct {
	Name     [gpioNameSize]byte
	Consumer [gpioNameSize]byte
	Offset   uint32
	NumAttrs uint32
	Flags    uint64
	Attrs    [gpioAttrsMax]gpioAttr
	Padding  [4]uint32
}

type gpioLineValues struct {
	Bits uint64
	Mask uint64
}

type gpioLineEvent struct {
	TimestampNS uint64
	ID          uint32
	Offset      uint32
	Seq         uint32
	LineSeq     uint32
	Padding     [6]uint32
}

// Requests of a chip and of the lines that were had from it.
const (
	gpioGetChipInfo = directionRead<<30 | uint(unsafe.Sizeof(gpioChipInfo{}))<<16 | 0xb4<<8 | 0x01
	gpioGetLineInfo = (directionRead|directionWrite)<<30 | uint(unsafe.Sizeof(gpioLineInfo{}))<<16 | 0xb4<<8 | 0x05
	gpioGetLine     = (directionRead|directionWrite)<<30 | uint(unsafe.Sizeof(gpioLineRequest{}))<<16 | 0xb4<<8 | 0x07
	gpioGetValues   = (directionRead|directionWrite)<<30 | uint(unsafe.Sizeof(gpioLineValues{}))<<16 | 0xb4<<8 | 0x0e
	gpioSetValues   = (directionRead|directionWrite)<<30 | uint(unsafe.Sizeof(gpioLineValues{}))<<16 | 0xb4<<8 | 0x0f
)

// consumer is what the kernel shows as the user of our lines.
const consumer = "watchpost"

// text is a string of the kernel's, which ends at the first zero.
func text(b []byte) string {
	if i := slices.Index(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// chip is an open GPIO chip. Lines that were had from it outlive it.
type chip struct {
	kernel kernel
	fd     int
	path   string
	lines  uint32
}

// openChip finds a chip by the path of its device, by the name of that file, or by its label.
func (k kernel) openChip(name string) (*chip, error) {
	if strings.HasPrefix(name, "/") {
		c, _, err := k.openChipAt(name)
		return c, err
	}
	paths, err := filepath.Glob(filepath.Join(k.dir, "gpiochip*"))
	if err != nil {
		return nil, err
	}
	var found *chip
	var labels []string
	for _, path := range paths {
		c, info, err := k.openChipAt(path)
		if err != nil {
			labels = append(labels, err.Error())
			continue
		}
		label := text(info.Label[:])
		labels = append(labels, label)
		switch {
		case label != name && text(info.Name[:]) != name && filepath.Base(path) != name:
			c.close()
		case found != nil:
			c.close()
			found.close()
			return nil, fmt.Errorf("%s and %s are both called %q: name the chip by its path", found.path, path, name)
		default:
			found = c
		}
	}
	if found == nil {
		return nil, fmt.Errorf("GPIO chip %q: %w; there are: %s", name, os.ErrNotExist, strings.Join(labels, ", "))
	}
	return found, nil
}

func (k kernel) openChipAt(path string) (*chip, gpioChipInfo, error) {
	var info gpioChipInfo
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, info, fmt.Errorf("opening GPIO chip %s: %w", path, err)
	}
	if err := k.ioctl(fd, gpioGetChipInfo, unsafe.Pointer(&info)); err != nil {
		_ = unix.Close(fd)
		return nil, info, fmt.Errorf("%s is no GPIO chip: %w", path, err)
	}
	return &chip{k, fd, path, info.Lines}, info, nil
}

func (c *chip) close() { _ = unix.Close(c.fd) } // nothing was written through it

// info tells of one line by its offset.
func (c *chip) info(offset uint32) (gpioLineInfo, error) {
	i := gpioLineInfo{Offset: offset}
	if err := c.kernel.ioctl(c.fd, gpioGetLineInfo, unsafe.Pointer(&i)); err != nil {
		return i, fmt.Errorf("%s, line %d: %w", c.path, offset, err)
	}
	return i, nil
}

// offset finds a line by the kernel's name for it, capitals aside, or by "line-" and its number. The user's own names come first.
func (c *chip) offset(line string, own map[string]uint32) (uint32, error) {
	number, known := own[line]
	if !known {
		for at := range c.lines {
			i, err := c.info(at)
			if err != nil {
				return 0, err
			}
			if strings.EqualFold(text(i.Name[:]), line) {
				return at, nil
			}
		}
		if n, err := fmt.Sscanf(line, "line-%d", &number); n != 1 || err != nil || fmt.Sprintf("line-%d", number) != line {
			return 0, fmt.Errorf("%s has no line called %s", c.path, line)
		}
	}
	if number >= c.lines {
		return 0, fmt.Errorf("%s has no line %d: it has %d", c.path, number, c.lines)
	}
	return number, nil
}

// request has lines for us alone, until the file is closed.
func (c *chip) request(r gpioLineRequest) (*lineFile, error) {
	copy(r.Consumer[:gpioNameSize-1], consumer)
	if err := c.kernel.ioctl(c.fd, gpioGetLine, unsafe.Pointer(&r)); err != nil {
		return nil, fmt.Errorf("asking %s for %d lines: %w", c.path, r.NumLines, err)
	}
	fd := int(r.FD)
	if err := unix.SetNonblock(fd, true); err != nil { // so that the runtime waits for it, and no thread does
		_ = unix.Close(fd)
		return nil, fmt.Errorf("lines of %s: %w", c.path, err)
	}
	return &lineFile{c.kernel, os.NewFile(uintptr(fd), c.path+" lines"), r.NumLines}, nil
}

// lineFile is the file of lines that were had from a chip.
type lineFile struct {
	kernel kernel
	file   *os.File
	lines  uint32
}

// values are the present levels, one bit for each line in the order of the request.
func (f *lineFile) values() (uint64, error) {
	v := gpioLineValues{Mask: 1<<f.lines - 1}
	err := f.control(gpioGetValues, &v)
	return v.Bits, err
}

// set drives the first line.
func (f *lineFile) set(level bool) error {
	v := gpioLineValues{Mask: 1}
	if level {
		v.Bits = 1
	}
	return f.control(gpioSetValues, &v)
}

func (f *lineFile) control(request uint, v *gpioLineValues) error {
	conn, err := f.file.SyscallConn()
	if err != nil {
		return err
	}
	var ioctlErr error
	if err := conn.Control(func(fd uintptr) { ioctlErr = f.kernel.ioctl(int(fd), request, unsafe.Pointer(v)) }); err != nil {
		return err
	}
	return faultOf(ioctlErr)
}
