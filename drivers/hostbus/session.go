package hostbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/drivers/bus"
)

// session is all that runs while somebody watches lines of a chip: it gets the lines, again when they are gone, and takes their
// edges. The mutex of Lines guards its maps.
type session struct {
	lines    *Lines
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	poke     chan struct{} // one place: look for missing lines now
	lost     chan struct{} // one place: lines went missing
	watchers map[*watcher]bool
	requests []*request
}

// request is a set of lines that was had from the kernel at once.
type request struct {
	file   *lineFile
	inputs []*input
	at     map[uint32]*input // by offset
	seq    uint32            // the kernel's count of edges of all its lines
	missed uint64            // edges that were lost and that no line has told yet
	path   string            // of its chip
	gone   bool
}

// place is the bit of an input.
func (r *request) place(in *input) int {
	for i := range r.inputs {
		if r.inputs[i] == in {
			return i
		}
	}
	return 0
}

// newSession needs the mutex of Lines.
func (l *Lines) newSession() *session {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{lines: l, cancel: cancel, poke: make(chan struct{}, 1), lost: make(chan struct{}, 1), watchers: map[*watcher]bool{}}
	if files, err := watchFiles(l.kernel.dir); err != nil {
		l.log.Warn("device files cannot be watched: a chip that is pulled may be noticed late", "error", err)
	} else { // from before any line is had, or a chip could go unseen in between
		s.tasks.Go(func() { s.guard(ctx, files) })
	}
	s.tasks.Go(func() { s.keep(ctx) })
	return s
}

// prod makes keep look for missing lines now.
func (s *session) prod() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// keep gets the lines that are wanted and not there. It sleeps as long as all are.
func (s *session) keep(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	pause, whole := retryMin, time.Time{}
	for {
		select {
		case <-again.C:
		case <-s.poke:
		case <-s.lost: // not at once: a chip that answers and fails would keep us busy
			if time.Since(whole) > retryMax {
				pause = retryMin
			}
			again.Reset(pause)
			pause = min(2*pause, retryMax)
			continue
		case <-ctx.Done():
			return
		}
		if s.obtain(ctx) {
			whole = time.Now()
			continue
		}
		again.Reset(pause)
		pause = min(2*pause, retryMax)
	}
}

// obtain tries once to get all wanted lines, and says whether all are there.
func (s *session) obtain(ctx context.Context) bool {
	l := s.lines
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return true
	}
	var want []*input
	for _, in := range l.inputs {
		if in.users > 0 && in.on == nil {
			want = append(want, in)
		}
	}
	if len(want) == 0 {
		return true
	}
	slices.SortFunc(want, func(a, b *input) int { return a.order - b.order })
	c, err := l.kernel.openChip(l.chip)
	if err != nil {
		for _, in := range want {
			s.tellMissing(in, err)
		}
		return false
	}
	defer c.close()
	plans, whole := s.plan(c, want)
	for _, p := range plans {
		if err := s.begin(c, p); err != nil {
			whole = false
			for _, in := range p.inputs {
				s.tellMissing(in, err)
			}
		}
	}
	return whole
}

// plan puts inputs into as few requests as the kernel allows: 64 lines each, of up to ten debounce times.
func (s *session) plan(c *chip, want []*input) (plans []*plan, whole bool) {
	whole = true
	for _, in := range want {
		offset, err := c.offset(in.cfg.Line, s.lines.names)
		if err == nil {
			var info gpioLineInfo
			if info, err = c.info(offset); err == nil && info.Flags&gpioFlagUsed != 0 {
				err = fmt.Errorf("%s, line %d is used by %q", c.path, offset, text(info.Consumer[:]))
			}
		}
		if err != nil {
			whole = false
			s.tellMissing(in, err)
			continue
		}
		if len(plans) == 0 || !plans[len(plans)-1].add(in, offset) {
			p := &plan{}
			p.add(in, offset)
			plans = append(plans, p)
		}
	}
	return plans, whole
}

// plan is a request before it is made.
type plan struct {
	inputs  []*input
	request gpioLineRequest
}

// add puts a line into the request; false if it has no room.
func (p *plan) add(in *input, offset uint32) bool {
	n := len(p.inputs)
	if n == gpioLinesMax {
		return false
	}
	config := &p.request.Config
	us := uint64(in.cfg.Debounce.Microseconds())
	slot := uint32(0)
	for slot < config.NumAttrs && uint64(debounceOf(config.Attrs[slot].Attr)) != us {
		slot++
	}
	if us > 0 {
		if slot == gpioAttrsMax {
			return false
		}
		attr := &config.Attrs[slot]
		config.NumAttrs = max(config.NumAttrs, slot+1)
		attr.Attr.ID = gpioAttrBounce
		setDebounce(&attr.Attr, uint32(min(us, 1<<32-1)))
		attr.Mask |= 1 << n
	}
	config.Flags = gpioFlagInput | gpioFlagRising | gpioFlagFall
	p.request.Offsets[n] = offset
	p.request.NumLines = uint32(n + 1)
	p.request.BufferSize = gpioBufferMax
	p.inputs = append(p.inputs, in)
	return true
}

// debounceOf and setDebounce reach the first four bytes of the attribute's union, on any order of bytes.
func debounceOf(a gpioAttr) uint32 {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], a.Value)
	return binary.NativeEndian.Uint32(b[:])
}

func setDebounce(a *gpioAttr, us uint32) {
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], us)
	a.Value = binary.NativeEndian.Uint64(b[:])
}

// begin makes a request, reads the levels and starts to take edges. It needs the mutex.
func (s *session) begin(c *chip, p *plan) error {
	file, err := c.request(p.request)
	if err != nil {
		return err
	}
	bits, err := file.values()
	if err != nil {
		_ = file.file.Close()
		return fmt.Errorf("reading the lines of %s: %w", c.path, err)
	}
	r := &request{file: file, inputs: p.inputs, at: map[uint32]*input{}, path: c.path}
	for i, in := range p.inputs {
		r.at[p.request.Offsets[i]] = in
		level, lost := bits>>i&1 == 1, uint64(0)
		if in.told && in.read && in.level != level { // while it was missing
			lost = 1
		}
		in.on, in.told, in.read, in.level, in.kernel, in.guessed = r, true, true, level, 0, 0
		in.count += lost
		in.kernelNS = bus.Monotonic()
		s.tell(in.present(lost))
	}
	s.requests = append(s.requests, r)
	s.tasks.Go(func() { s.follow(r) })
	s.lines.log.Info("GPIO lines found", "path", c.path, "lines", len(r.inputs))
	return nil
}

// follow takes the edges of a request until it ends.
func (s *session) follow(r *request) {
	buf := make([]byte, 64*gpioEventSize)
	for {
		n, err := r.file.file.Read(buf)
		if err == nil && (n == 0 || n%gpioEventSize != 0) {
			err = fmt.Errorf("%d bytes are no edges", n)
		}
		s.lines.mu.Lock()
		if r.gone {
			s.lines.mu.Unlock()
			return
		}
		if err != nil {
			s.lose(r, faultOf(err))
			s.lines.mu.Unlock()
			return
		}
		for b := buf[:n]; len(b) > 0; b = b[gpioEventSize:] {
			s.take(r, eventOf(b))
		}
		if r.missed > 0 && n < len(buf) { // the kernel has no more of them
			s.look(r)
		}
		s.lines.mu.Unlock()
	}
}

func eventOf(b []byte) gpioLineEvent {
	order := binary.NativeEndian
	return gpioLineEvent{TimestampNS: order.Uint64(b), ID: order.Uint32(b[8:]), Offset: order.Uint32(b[12:]), Seq: order.Uint32(b[16:]),
		LineSeq: order.Uint32(b[20:])}
}

// take tells one edge. It needs the mutex.
func (s *session) take(r *request, e gpioLineEvent) {
	in := r.at[e.Offset]
	if in == nil {
		return // the kernel tells only what was asked for
	}
	since, lost := uint64(max(1, e.Seq-r.seq)), uint64(max(1, e.LineSeq-in.kernel))-1
	r.seq, in.kernel = e.Seq, e.LineSeq
	s.lines.seq += since
	r.missed += since - 1
	r.missed -= min(r.missed, lost)
	in.count += lost + 1
	known := min(in.guessed, lost+1) // told already, by a reading
	in.guessed -= known
	in.count -= known
	lost -= min(lost, known)
	in.level, in.kernelNS = e.ID == gpioRising, int64(e.TimestampNS)
	s.tell(bus.Edge{Line: in.cfg.Line, Quality: bus.Changed, Level: in.level, KernelNS: in.kernelNS, Seq: s.lines.seq, LineSeq: in.count, Lost: lost})
}

// look reads the lines again after the kernel had to drop edges: the last of some line may be among them. It needs the mutex.
func (s *session) look(r *request) {
	bits, err := r.file.values()
	if err != nil {
		s.lose(r, err)
		return
	}
	s.lines.log.Warn("the kernel dropped edges", "edges", r.missed)
	r.missed = 0
	for i, in := range r.inputs {
		if level := bits>>i&1 == 1; level != in.level {
			in.level, in.kernelNS = level, bus.Monotonic()
			in.count++
			in.guessed++
			s.tell(in.present(1))
		}
	}
}

// lose gives a request up, tells its lines as missing and has them looked for. It needs the mutex.
func (s *session) lose(r *request, why error) {
	if r.gone {
		return
	}
	s.release(r)
	s.lines.log.Warn("GPIO lines lost", "path", r.path, "error", why)
	for _, in := range r.inputs {
		s.tellMissing(in, fmt.Errorf("the lines of %s are lost: %w", r.path, why))
	}
	select {
	case s.lost <- struct{}{}:
	default:
	}
}

// release ends a request; its task sees it. It needs the mutex.
func (s *session) release(r *request) {
	r.gone = true
	_ = r.file.file.Close() // nothing was written to it
	for _, in := range r.inputs {
		in.on = nil
	}
	for i := range s.requests {
		if s.requests[i] == r {
			s.requests = append(s.requests[:i:i], s.requests[i+1:]...)
			return
		}
	}
}

// tellMissing needs the mutex.
func (s *session) tellMissing(in *input, why error) {
	if in.told && in.reason != "" {
		return
	}
	in.told, in.reason = true, why.Error()
	s.tell(bus.Edge{Line: in.cfg.Line, LineSeq: in.count, Reason: in.reason})
}

// tell needs the mutex.
func (s *session) tell(e bus.Edge) {
	if in := s.lines.inputs[e.Line]; e.Quality != bus.Missing {
		in.reason = ""
	}
	for w := range s.watchers {
		if w.lines[e.Line] {
			w.queue.push(e)
		}
	}
}

// watchFiles opens the messages about files that come to a folder and go from it.
func watchFiles(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if _, err = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_DELETE|unix.IN_ATTRIB|unix.IN_MOVED_TO|unix.IN_MOVED_FROM); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}

// guard waits for device files to come and go. A chip that is pulled does not end a read of its lines in older kernels, but its
// file goes at once; and one that comes is asked for at once.
func (s *session) guard(ctx context.Context, files *os.File) {
	stop := context.AfterFunc(ctx, func() { _ = files.Close() })
	defer stop()
	buf := make([]byte, 4096)
	for {
		n, err := files.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				s.lines.log.Warn("device files are not watched any more", "error", err)
				_ = files.Close()
			}
			return
		}
		for _, name := range filesGone(buf[:n]) {
			s.pulled(filepath.Join(s.lines.kernel.dir, name))
		}
		s.prod()
	}
}

// filesGone names the files of a folder that inotify says are gone (inotify(7): a header of 16 bytes, then the name, padded).
func filesGone(b []byte) []string {
	var gone []string
	for len(b) >= unix.SizeofInotifyEvent {
		mask, size := binary.NativeEndian.Uint32(b[4:]), int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0 {
			gone = append(gone, text(b[:size]))
		}
		b = b[size:]
	}
	return gone
}

// pulled gives up the lines of a chip whose file is gone.
func (s *session) pulled(path string) {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	for _, r := range append([]*request(nil), s.requests...) {
		if r.path == path {
			s.lose(r, fs.ErrNotExist)
		}
	}
}
