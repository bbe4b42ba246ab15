package hostbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
)

// Numbers and sizes of w1 over the kernel's connector (Documentation/w1/w1-netlink.rst, include/linux/connector.h).
const (
	w1Devices       = "/sys/bus/w1/devices"
	w1MasterPrefix  = "w1_bus_master"
	connectorFamily = 11
	connectorW1     = 3
	connectorValue  = 1
	netlinkDone     = 3
	w1MasterCommand = 4
	w1Read          = 0
	w1Write         = 1
	w1Search        = 2
	w1Reset         = 5
	netlinkHeader   = 16
	connectorHeader = 20
	w1Header        = 12
	w1CommandHeader = 4
	w1Headers       = netlinkHeader + connectorHeader + w1Header
	w1NoPresence    = 255 // the status of a reset that nobody answered
	w1MaxLength     = 256 // of one transaction, each way
	w1MaxCodes      = 64
	w1Timeout       = time.Second
	w1SearchTimeout = 3 * time.Second // 64 codes take 14 ms each
)

// errW1 means that the kernel's answer is not to be understood.
var errW1 = errors.New("the w1 connector answers what was not asked")

// OneWire is a 1-wire bus of the kernel's.
//
// It speaks to the master over the connector and not over the files of the slaves in sysfs: there a slave has no file for its
// bytes once a driver such as w1_therm has taken it, and between a write and a read anybody else may use the bus. Over the
// connector reset, write and read are one transaction, whoever has the slave. What the kernel offers on neither way is the
// strong pull-up.
type OneWire struct {
	path   string
	master uint32

	mu   sync.Mutex // guards the fields below and holds a transaction together
	file *os.File
	seq  uint32
}

var _ bus.OneWire = (*OneWire)(nil)

// OpenOneWire opens a bus by its number or by the name of its master, as w1_bus_master1. It wants the right to open a socket of
// the kernel's connector.
func OpenOneWire(master string) (*OneWire, error) {
	path := filepath.Join(w1Devices, w1MasterPrefix+strings.TrimPrefix(master, w1MasterPrefix))
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("1-wire master %q (is its kernel module loaded?): %w", master, err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, connectorFamily)
	if err != nil {
		return nil, fmt.Errorf("opening the kernel's connector: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("opening the kernel's connector: %w", err)
	}
	return newOneWire(master, os.NewFile(uintptr(fd), "w1 connector"))
}

// newOneWire takes the socket over.
func newOneWire(master string, socket *os.File) (*OneWire, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(master, w1MasterPrefix), 10, 32)
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("1-wire master %q: want its number, or %s and its number", master, w1MasterPrefix)
	}
	return &OneWire{path: w1MasterPrefix + strconv.FormatUint(n, 10), master: uint32(n), file: socket}, nil
}

// String names the bus as errors do.
func (b *OneWire) String() string { return b.path }

// Close closes the socket.
func (b *OneWire) Close() error { return b.file.Close() }

// command is one thing that the master is asked to do.
type command struct {
	code   byte
	data   []byte // written, or as long as what is to be read
	answer bool
}

// Tx implements [bus.OneWire]. A strong pull-up is errors.ErrUnsupported: a chip that needs it would answer nonsense.
func (b *OneWire) Tx(w, r []byte, strong bool) error {
	if strong {
		return fmt.Errorf("%s: the kernel gives no strong pull-up to programs; wire the chip's supply: %w", b.path, errors.ErrUnsupported)
	}
	if len(w) > w1MaxLength || len(r) > w1MaxLength {
		return fmt.Errorf("%s: %d bytes out and %d in: at most %d", b.path, len(w), len(r), w1MaxLength)
	}
	commands := []command{{code: w1Reset}}
	if len(w) > 0 {
		commands = append(commands, command{code: w1Write, data: w})
	}
	if len(r) > 0 {
		commands = append(commands, command{code: w1Read, data: make([]byte, len(r)), answer: true})
	}
	data, err := b.transact(context.Background(), w1Timeout, commands)
	if err == nil && len(data) != len(r) {
		err = fmt.Errorf("%w: %d bytes where %d were asked for", errW1, len(data), len(r))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	copy(r, data)
	return nil
}

// Search implements [bus.OneWire]. It asks the wire, not the kernel's list of what it found last.
func (b *OneWire) Search(ctx context.Context) ([]bus.ROM, error) {
	data, err := b.transact(ctx, w1SearchTimeout, []command{{code: w1Search, answer: true}})
	if errors.Is(err, bus.ErrNoAnswer) {
		return nil, nil
	}
	if err == nil && (len(data)%8 != 0 || len(data) > 8*w1MaxCodes) {
		err = fmt.Errorf("%w: %d bytes of codes", errW1, len(data))
	}
	var roms []bus.ROM
	for ; err == nil && len(data) > 0; data = data[8:] {
		var rom bus.ROM
		rom, err = bus.ROMOfWire([8]byte(data))
		roms = append(roms, rom)
	}
	if err != nil {
		return nil, fmt.Errorf("searching %s: %w", b.path, err)
	}
	return roms, nil
}

// transact has the commands done as one and gives what was read. The kernel tells the end of each.
func (b *OneWire) transact(ctx context.Context, limit time.Duration, commands []command) ([]byte, error) {
	deadline := time.Now().Add(limit)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.seq++
	if err := b.file.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = b.file.SetReadDeadline(time.Now()) })
	defer stop()
	if _, err := b.file.Write(b.request(commands)); err != nil {
		return nil, faultOf(err)
	}
	var data []byte
	var fault error
	for left := commands; len(left) > 0; {
		a, err := b.answer()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("the kernel is still at it after %s: %w", limit, bus.ErrTimeout)
		case err != nil:
			return nil, err
		case a.seq != b.seq || a.master != b.master: // late, of a request that was given up
			continue
		case a.all && a.status != 0:
			return nil, statusFault(a.status)
		case a.all || a.command != left[0].code:
			return nil, fmt.Errorf("%w: command %d after %d", errW1, a.command, left[0].code)
		case a.data != nil && left[0].answer:
			data = append(data, a.data...)
			continue
		}
		if fault == nil {
			fault = statusFault(a.status)
		}
		left = left[1:]
	}
	return data, fault
}

func statusFault(status byte) error {
	switch status {
	case 0:
		return nil
	case w1NoPresence:
		return bus.ErrNoAnswer
	}
	return faultOf(unix.Errno(status))
}

// request is a message to the kernel: netlink header, connector header, w1 header and the commands.
func (b *OneWire) request(commands []command) []byte {
	order := binary.NativeEndian
	m := make([]byte, w1Headers)
	for _, c := range commands {
		m = append(m, c.code, 0)
		m = order.AppendUint16(m, uint16(len(c.data)))
		m = append(m, c.data...)
	}
	order.PutUint32(m, uint32(len(m)))
	order.PutUint16(m[4:], netlinkDone)
	order.PutUint32(m[8:], b.seq)
	cn := m[netlinkHeader:]
	order.PutUint32(cn, connectorW1)
	order.PutUint32(cn[4:], connectorValue)
	order.PutUint32(cn[8:], b.seq)
	order.PutUint16(cn[16:], uint16(len(cn)-connectorHeader))
	w1 := cn[connectorHeader:]
	w1[0] = w1MasterCommand
	order.PutUint16(w1[2:], uint16(len(w1)-w1Header))
	order.PutUint32(w1[4:], b.master)
	return m
}

// answer is one message of the kernel: bytes that were read, or else the end of a command, or of all as when there is no master.
type answer struct {
	seq, master     uint32
	all             bool
	command, status byte
	data            []byte
}

func (b *OneWire) answer() (answer, error) {
	buf := make([]byte, w1Headers+w1CommandHeader+8*w1MaxCodes)
	n, err := b.file.Read(buf)
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(buf[:n])
}

// parseAnswer reads a message. Bytes that were read carry an acknowledge number above 0, an end carries 0.
func parseAnswer(m []byte) (answer, error) {
	order := binary.NativeEndian
	if len(m) < w1Headers || order.Uint16(m[4:]) != netlinkDone || order.Uint32(m[netlinkHeader:]) != connectorW1 {
		return answer{}, fmt.Errorf("%w: % x", errW1, m)
	}
	cn := m[netlinkHeader:]
	w1 := cn[connectorHeader:]
	c := w1[w1Header:]
	a := answer{seq: order.Uint32(cn[8:]), master: order.Uint32(w1[4:]), status: w1[1]}
	if len(c) < w1CommandHeader {
		a.all = true
		return a, nil
	}
	a.command = c[0]
	if size := int(order.Uint16(c[2:])); order.Uint32(cn[12:]) != 0 {
		if size > len(c)-w1CommandHeader {
			return answer{}, fmt.Errorf("%w: % x", errW1, m)
		}
		a.data = c[w1CommandHeader : w1CommandHeader+size]
	}
	return a, nil
}
