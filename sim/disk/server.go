package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Server is a mounted disk. It must not be used through its mount by the process that it runs in. All methods may be called
// from any goroutine.
type Server struct {
	opt   Options
	log   *slog.Logger
	store *store
	made  string // the medium's directory if it is ours to remove

	// turn is held by whoever changes the mount; it is taken before the store's mu.
	turn   sync.Mutex
	shown  bool
	serves sync.WaitGroup
}

// New makes an empty disk and mounts it. Root's rights are needed, and /dev/fuse.
func New(opt Options, log *slog.Logger) (*Server, error) {
	if err := opt.Mode.check(); err != nil {
		return nil, err
	}
	if opt.Mount == "" {
		return nil, errors.New("a disk needs a directory to be mounted on")
	}
	s := &Server{opt: opt, log: log}
	dir := opt.Medium
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "disk"); err != nil {
			return nil, fmt.Errorf("making a directory for the medium: %w", err)
		}
		s.made = dir
	}
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(opt.Mount, 0o755)); err != nil {
		return nil, fmt.Errorf("making the disk's directories: %w", err)
	}
	s.store = newStore(opt, dir, log)
	if err := s.attach(); err != nil {
		return nil, errors.Join(err, s.removeMedium())
	}
	return s, nil
}

// detach ends the mount, whoever uses it, and with it all that the kernel had cached.
func (s *Server) detach() error {
	if !s.shown {
		return nil
	}
	if err := unmount(s.opt.Mount); err != nil {
		return err
	}
	s.serves.Wait()
	s.shown = false
	return nil
}

// unmount is told nothing if there is no mount any more.
func unmount(dir string) error {
	err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	return nil
}

// Off takes the power away: nothing reaches the medium any more, and whatever is asked of the disk fails. What was not synced
// is lost; if torn, a part of it got through. A writer that still runs sees input/output errors, as none does in a machine
// without power: end it before On.
func (s *Server) Off(torn bool) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.store.dead() {
		return errors.New("the disk's power is off already")
	}
	return s.store.cutPower(torn)
}

// On gives the power back: the mount point shows what the medium has.
func (s *Server) On() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if !s.isOff() {
		return errors.New("the disk's power is on already")
	}
	if err := s.detach(); err != nil {
		return err
	}
	s.store.mu.Lock()
	s.store.restorePower()
	s.store.mu.Unlock()
	return s.attach()
}

func (s *Server) isOff() bool {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.store.dead()
}

// Set changes how the disk behaves from now on.
func (s *Server) Set(m Mode) error {
	if err := m.check(); err != nil {
		return err
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.setMode(m)
	return nil
}

// Settle brings all that the kernel has sent to the medium, as its flusher does after half a minute. What the kernel still keeps of
// maps comes with syncfs(2) on the mount point, before this and from another process.
func (s *Server) Settle() error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.store.dead() {
		return errors.New("the disk has no power")
	}
	return s.store.settle()
}

// Stats counts.
func (s *Server) Stats() Stats {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	st := s.store.stats
	st.ByName = maps.Clone(st.ByName)
	st.Used, st.Capacity = s.store.used*pageSize, s.store.mode.capacity()
	return st
}

// Close unmounts the disk and, unless it was given by Options, removes the medium.
func (s *Server) Close() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	return errors.Join(s.detach(), s.removeMedium())
}

func (s *Server) removeMedium() error {
	if s.made == "" {
		return nil
	}
	if err := os.RemoveAll(s.made); err != nil {
		return fmt.Errorf("removing the medium: %w", err)
	}
	return nil
}
