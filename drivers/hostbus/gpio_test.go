package hostbus

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
)

// TestLayouts holds the structures to the sizes and offsets of the kernel's headers, on whatever processor this runs.
func TestLayouts(t *testing.T) {
	var request gpioLineRequest
	var info gpioLineInfo
	var event gpioLineEvent
	var transfer spiTransfer
	for name, c := range map[string]struct{ got, want uintptr }{
		"gpiochip_info": {unsafe.Sizeof(gpioChipInfo{}), 68}, "gpio_v2_line_attribute": {unsafe.Sizeof(gpioAttr{}), 16},
		"gpio_v2_line_config": {unsafe.Sizeof(gpioLineConfig{}), 272}, "gpio_v2_line_request": {unsafe.Sizeof(request), 592},
		"gpio_v2_line_info": {unsafe.Sizeof(info), 256}, "gpio_v2_line_values": {unsafe.Sizeof(gpioLineValues{}), 16},
		"gpio_v2_line_event": {unsafe.Sizeof(event), gpioEventSize}, "request config": {unsafe.Offsetof(request.Config), 288},
		"request num_lines": {unsafe.Offsetof(request.NumLines), 560}, "request fd": {unsafe.Offsetof(request.FD), 588},
		"config attrs": {unsafe.Offsetof(request.Config.Attrs), 32}, "info flags": {unsafe.Offsetof(info.Flags), 72},
		"event id": {unsafe.Offsetof(event.ID), 8}, "event seqno": {unsafe.Offsetof(event.Seq), 16}, "event line_seqno": {unsafe.Offsetof(event.LineSeq), 20},
		"i2c_msg": {unsafe.Sizeof(i2cMessage{}), 8 + unsafe.Sizeof(uintptr(0))}, "i2c_msg buf": {unsafe.Offsetof(i2cMessage{}.Data), 8},
		"i2c_rdwr_ioctl_data": {unsafe.Sizeof(i2cTransaction{}), 2 * unsafe.Sizeof(uintptr(0))},
		"spi_ioc_transfer":    {unsafe.Sizeof(transfer), 32}, "transfer len": {unsafe.Offsetof(transfer.Length), 16}, "transfer bits": {unsafe.Offsetof(transfer.Bits), 26},
		"serial_rs485": {unsafe.Sizeof(rs485{}), 32},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
	for name, c := range map[string]struct{ got, want uint }{
		"GPIO_GET_CHIPINFO_IOCTL": {gpioGetChipInfo, 0x8044b401}, "GPIO_V2_GET_LINEINFO_IOCTL": {gpioGetLineInfo, 0xc100b405},
		"GPIO_V2_GET_LINE_IOCTL": {gpioGetLine, 0xc250b407}, "GPIO_V2_LINE_GET_VALUES_IOCTL": {gpioGetValues, 0xc010b40e},
		"GPIO_V2_LINE_SET_VALUES_IOCTL": {gpioSetValues, 0xc010b40f}, "SPI_IOC_MESSAGE(1)": {spiMessage, 0x40206b00},
		"SPI_IOC_WR_MODE": {spiWriteMode, 0x40016b01}, "SPI_IOC_WR_BITS_PER_WORD": {spiWriteBits, 0x40016b03}, "SPI_IOC_WR_MAX_SPEED_HZ": {spiWriteSpeed, 0x40046b04},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#x, want %#x", name, c.got, c.want)
		}
	}
}

// fakeChip is a GPIO chip behind a file of a folder, with an ioctl of its own. It answers as the kernel's documentation says
// (userspace-api/gpio), and writes events by the documented offsets, not by our structures.
type fakeChip struct {
	t    testing.TB
	path string

	mu    sync.Mutex // guards the fields below
	dead  bool
	names []string
	users []string // by line; who holds it besides us
	level []bool
	held  map[int]*fakeRequest // by the file descriptor that we were given
	asked []gpioLineRequest
	drop  int // events that the buffer has no room for
}

type fakeRequest struct {
	offsets []uint32
	events  int // the other end
	output  bool
	seq     uint32
	lineSeq map[uint32]uint32
}

func newFakeChip(t testing.TB, names ...string) *fakeChip {
	f := &fakeChip{t: t, path: filepath.Join(t.TempDir(), "gpiochip0"), names: names, users: make([]string, len(names)), level: make([]bool, len(names)), held: map[int]*fakeRequest{}}
	f.mend()
	t.Cleanup(func() {
		for _, r := range f.held {
			_ = unix.Close(r.events)
		}
	})
	return f
}

func (f *fakeChip) kernel() kernel { return kernel{dir: filepath.Dir(f.path), ioctl: f.ioctl} }

// cut pulls the chip: its file goes, and reads of its lines wait for ever, as in older kernels.
func (f *fakeChip) cut() {
	f.mu.Lock()
	f.dead = true
	f.mu.Unlock()
	if err := os.Remove(f.path); err != nil {
		f.t.Error(err)
	}
}

func (f *fakeChip) mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = false
	for fd, r := range f.held { // files of the old chip never speak again
		_ = unix.Close(r.events)
		delete(f.held, fd)
	}
	if err := os.WriteFile(f.path, nil, 0o600); err != nil {
		f.t.Error(err)
	}
}

func (f *fakeChip) drive(line string, level bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at, name := range f.names {
		if name == line && f.level[at] != level {
			f.level[at] = level
			f.tell(uint32(at))
		}
	}
}

// tell needs the mutex.
func (f *fakeChip) tell(at uint32) {
	for _, r := range f.held {
		for _, o := range r.offsets {
			if o != at || r.output || f.dead {
				continue
			}
			r.seq++
			r.lineSeq[at]++
			if f.drop > 0 {
				f.drop--
				continue
			}
			var b [48]byte
			binary.NativeEndian.PutUint64(b[0:], uint64(bus.Monotonic()))
			binary.NativeEndian.PutUint32(b[8:], 2)
			if f.level[at] {
				binary.NativeEndian.PutUint32(b[8:], 1)
			}
			binary.NativeEndian.PutUint32(b[12:], at)
			binary.NativeEndian.PutUint32(b[16:], r.seq)
			binary.NativeEndian.PutUint32(b[20:], r.lineSeq[at])
			_, _ = unix.Write(r.events, b[:]) // the other end may be closed or full, which are both a loss
		}
	}
}

// taken says whether somebody holds a line: us, if the other end of the file is still open. It needs the mutex.
func (f *fakeChip) taken(at uint32) string {
	for _, r := range f.held {
		for _, o := range r.offsets {
			poll := []unix.PollFd{{Fd: int32(r.events)}}
			if _, err := unix.Poll(poll, 0); err == nil && o == at && poll[0].Revents&unix.POLLERR == 0 {
				return consumer
			}
		}
	}
	return f.users[at]
}

func (f *fakeChip) ioctl(fd int, request uint, arg unsafe.Pointer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return unix.ENODEV
	}
	switch request {
	case 0x8044b401:
		i := (*gpioChipInfo)(arg)
		copy(i.Name[:], "gpiochip0")
		copy(i.Label[:], "fake-chip")
		i.Lines = uint32(len(f.names))
	case 0xc100b405:
		i := (*gpioLineInfo)(arg)
		copy(i.Name[:], f.names[i.Offset])
		if user := f.taken(i.Offset); user != "" {
			copy(i.Consumer[:], user)
			i.Flags = gpioFlagUsed
		}
	case 0xc250b407:
		return f.request((*gpioLineRequest)(arg))
	case 0xc010b40e, 0xc010b40f:
		r, v := f.held[fd], (*gpioLineValues)(arg)
		if r == nil {
			return unix.EBADF
		}
		for i, at := range r.offsets {
			switch bit := uint64(1) << i; {
			case v.Mask&bit == 0:
			case request == 0xc010b40f && !r.output:
				return unix.EPERM
			case request == 0xc010b40f:
				f.level[at] = v.Bits&bit != 0
			case f.level[at]:
				v.Bits |= bit
			}
		}
	default:
		return unix.ENOTTY
	}
	return nil
}

// request needs the mutex.
func (f *fakeChip) request(q *gpioLineRequest) error {
	r := &fakeRequest{offsets: append([]uint32(nil), q.Offsets[:q.NumLines]...), lineSeq: map[uint32]uint32{}, output: q.Config.Flags&gpioFlagOutput != 0}
	for _, at := range r.offsets {
		if f.taken(at) != "" {
			return unix.EBUSY
		}
	}
	if r.output {
		f.level[r.offsets[0]] = q.Config.Attrs[0].Attr.Value&1 == 1
	}
	var pipe [2]int
	if err := errors.Join(unix.Pipe2(pipe[:], unix.O_CLOEXEC), unix.SetNonblock(pipe[1], true)); err != nil {
		return err
	}
	if old := f.held[pipe[0]]; old != nil {
		_ = unix.Close(old.events)
	}
	r.events = pipe[1]
	f.held[pipe[0]] = r
	q.FD = int32(pipe[0])
	f.asked = append(f.asked, *q)
	return nil
}
