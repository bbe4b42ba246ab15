package disk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serverEnv makes a process a disk: its value are Options.
const serverEnv = "WATCHPOST_SIM_DISK"

const (
	maxReply = 1 << 20          // bytes of one answer
	patience = 30 * time.Second // for a server to end
)

// The requests to a server's process: one line of JSON each, and one for the answer.
const (
	doStats  = "stats"
	doOff    = "off"
	doOn     = "on"
	doSet    = "set"
	doSettle = "settle"
)

type request struct {
	Do   string `json:"do"`
	Torn bool   `json:"torn,omitempty"`
	Mode Mode   `json:"mode"`
}

type reply struct {
	Error string `json:"error,omitempty"`
	Stats Stats  `json:"stats"`
}

// Serve is called first thing by the main function of a program that uses Start, or by its TestMain. If this process was
// started to be a disk it is one until its standard input ends, and Serve answers true: then the program returns.
func Serve() bool {
	text := os.Getenv(serverEnv)
	if text == "" {
		return false
	}
	out := json.NewEncoder(os.Stdout)
	if err := serve(text, os.Stdin, out); err != nil {
		_ = out.Encode(reply{Error: err.Error()}) // whoever started this process may be gone
	}
	return true
}

// serve is a server's process: an answer when it is mounted, and one for each line. The disk is unmounted at the end,
// however whoever started this process has ended.
func serve(options string, in io.Reader, out *json.Encoder) (err error) {
	var opt Options
	if err := json.Unmarshal([]byte(options), &opt); err != nil {
		return fmt.Errorf("reading %s: %w", serverEnv, err)
	}
	s, err := New(opt, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := out.Encode(reply{Stats: s.Stats()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var answer reply
		if err := s.obey(lines.Bytes()); err != nil {
			answer.Error = err.Error()
		}
		answer.Stats = s.Stats()
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *Server) obey(line []byte) error {
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	switch r.Do {
	case doStats:
		return nil
	case doOff:
		return s.Off(r.Torn)
	case doOn:
		return s.On()
	case doSet:
		return s.Set(r.Mode)
	case doSettle:
		return s.Settle()
	}
	return fmt.Errorf("unknown request %q", r.Do)
}

// Disk is a Server in a process of its own. Its methods are called by one goroutine at a time.
type Disk struct {
	Mount string // where it shows

	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   *bufio.Scanner
	mounted bool
	closed  sync.Once
	closeIs error
}

// Start runs this program again as a disk, which it must be ready for: see Serve. The disk ends with ctx, with Close, or with this
// process, and is unmounted then.
func Start(ctx context.Context, opt Options) (*Disk, error) {
	text, err := json.Marshal(opt)
	if err != nil {
		return nil, fmt.Errorf("starting a disk: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting a disk: %w", err)
	}
	d := &Disk{Mount: opt.Mount, cmd: exec.CommandContext(ctx, program)}
	d.cmd.Env = append(os.Environ(), serverEnv+"="+string(text))
	d.cmd.Stderr = os.Stderr
	// Whatever kills a whole group of processes leaves the disk time to unmount.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting a disk: %w", err)
	}
	d.cmd.Cancel = func() error {
		_ = d.in.Close() // maybe not the first time
		return os.ErrProcessDone
	}
	d.cmd.WaitDelay = patience
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting a disk: %w", err)
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a disk: %w", err)
	}
	d.lines = bufio.NewScanner(out)
	d.lines.Buffer(nil, maxReply)
	if _, err := d.answer(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a disk: %w", err), d.Close())
	}
	d.mounted = true
	return d, nil
}

func (d *Disk) answer() (Stats, error) {
	if !d.lines.Scan() {
		return Stats{}, fmt.Errorf("the disk's process has ended: %w", errors.Join(d.lines.Err(), io.ErrUnexpectedEOF))
	}
	var r reply
	if err := json.Unmarshal(d.lines.Bytes(), &r); err != nil {
		return Stats{}, fmt.Errorf("the disk's process said %.200q: %w", d.lines.Text(), err)
	}
	if r.Error != "" {
		return r.Stats, errors.New(r.Error)
	}
	return r.Stats, nil
}

func (d *Disk) do(r request) (Stats, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return Stats{}, err
	}
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		return Stats{}, fmt.Errorf("asking the disk's process: %w", err)
	}
	return d.answer()
}

// Off is Server.Off: the power goes.
func (d *Disk) Off(torn bool) error {
	_, err := d.do(request{Do: doOff, Torn: torn})
	return err
}

// On is Server.On: the power is back, after the writer is gone.
func (d *Disk) On() error {
	_, err := d.do(request{Do: doOn})
	return err
}

// Cut is Off and On, for a writer that is gone already.
func (d *Disk) Cut(torn bool) error { return errors.Join(d.Off(torn), d.On()) }

// Set is Server.Set.
func (d *Disk) Set(m Mode) error {
	_, err := d.do(request{Do: doSet, Mode: m})
	return err
}

// Settle brings everything to the medium, mapped pages too, as the kernel's flusher does after half a minute.
func (d *Disk) Settle() error {
	f, err := os.Open(d.Mount)
	if err != nil {
		return fmt.Errorf("settling the disk: %w", err)
	}
	if err := errors.Join(unix.Syncfs(int(f.Fd())), f.Close()); err != nil {
		return fmt.Errorf("settling the disk: %w", err)
	}
	_, err = d.do(request{Do: doSettle})
	return err
}

// Stats counts.
func (d *Disk) Stats() (Stats, error) { return d.do(request{Do: doStats}) }

// Close unmounts the disk and ends its process. It may be called again.
func (d *Disk) Close() error {
	d.closed.Do(func() {
		_ = d.in.Close() // that the process has ended is what Wait says
		for d.lines.Scan() {
		}
		err := d.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("the disk's process: %w", err)
			if d.mounted { // and it died without letting go
				err = errors.Join(err, unmount(d.Mount))
			}
		}
		d.closeIs = err
	})
	return d.closeIs
}
